//! SIP's reader and writer for Python: bytes to the values of `trunkline.sip`, and header fields to bytes.

mod header_list;
mod objects;

use pyo3::prelude::*;
use pyo3::types::{PyList, PyString, PyTuple};

use crate::sip;
use header_list::HeaderList;

/// Put what this offers into the module.
pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<HeaderList>()?;
    module.add_function(wrap_pyfunction!(read_message, module)?)?;
    module.add_function(wrap_pyfunction!(parse_uri, module)?)?;
    module.add_function(wrap_pyfunction!(parse_name_addr, module)?)?;
    module.add_function(wrap_pyfunction!(parse_via, module)?)?;
    module.add_function(wrap_pyfunction!(parse_cseq, module)?)?;
    module.add_function(wrap_pyfunction!(parse_parameters, module)?)?;
    module.add_function(wrap_pyfunction!(parse_number, module)?)?;
    module.add_function(wrap_pyfunction!(split_outside, module)?)?;
    module.add_function(wrap_pyfunction!(is_token, module)?)?;
    module.add_function(wrap_pyfunction!(unquote, module)?)?;
    module.add("MAX_MESSAGE_BYTES", sip::MAX_MESSAGE_BYTES)?;
    module.add("MAX_LINE_BYTES", sip::MAX_LINE_BYTES)?;
    module.add("MAX_HEADERS", sip::MAX_HEADERS)?;
    module.add("MAX_VIAS", sip::MAX_VIAS)?;
    module.add("MAX_CSEQ", sip::MAX_CSEQ)
}

/// One datagram or one frame as `Request` or `Response`.
#[pyfunction]
fn read_message<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let sip::Message { start, headers, body, trouble } =
        sip::read(data).map_err(|error| objects::parse_error(py, &error))?;
    let headers = Bound::new(py, HeaderList::of(headers))?.into_any();
    objects::message(py, &start, headers, body, trouble.as_ref())
}

/// A URI that stands alone or between angle brackets.
#[pyfunction]
fn parse_uri<'py>(text: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
    let (py, bytes) = (text.py(), objects::bytes(text)?);
    objects::uri(py, &sip::Uri::parse(&bytes).map_err(|error| objects::parse_error(py, &error))?)
}

/// One value of From, To, Contact or a route.
#[pyfunction]
fn parse_name_addr<'py>(text: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
    let (py, bytes) = (text.py(), objects::bytes(text)?);
    objects::name_addr(py, &sip::NameAddr::parse(&bytes).map_err(|error| objects::parse_error(py, &error))?)
}

/// One value of Via.
#[pyfunction]
fn parse_via<'py>(text: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
    let (py, bytes) = (text.py(), objects::bytes(text)?);
    objects::via(py, &sip::Via::parse(&bytes).map_err(|error| objects::parse_error(py, &error))?)
}

/// The value of a `CSeq`.
#[pyfunction]
fn parse_cseq<'py>(text: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
    let (py, bytes) = (text.py(), objects::bytes(text)?);
    objects::cseq(py, &sip::CSeq::parse(&bytes).map_err(|error| objects::parse_error(py, &error))?)
}

/// What follows the first `;` of a value.
#[pyfunction]
fn parse_parameters<'py>(text: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyTuple>> {
    let (py, bytes) = (text.py(), objects::bytes(text)?);
    let parameters = sip::Parameters::parse(&bytes).map_err(|error| objects::parse_error(py, &error))?;
    objects::pairs(py, parameters.iter())
}

/// Delta-seconds and other plain numbers.
#[pyfunction]
#[pyo3(signature = (text, *, maximum=u32::MAX))]
fn parse_number(text: &Bound<'_, PyString>, maximum: u32) -> PyResult<u64> {
    let number = sip::number(&objects::bytes(text)?, u64::from(maximum));
    number.map_err(|error| objects::parse_error(text.py(), &error))
}

/// The pieces between separators that stand neither in quotes nor between angle brackets.
#[pyfunction]
fn split_outside<'py>(text: &Bound<'py, PyString>, separator: &str) -> PyResult<Bound<'py, PyList>> {
    let (py, bytes) = (text.py(), objects::bytes(text)?);
    let [separator] = separator.as_bytes() else {
        return Err(pyo3::exceptions::PyValueError::new_err("a separator is one character of ASCII"));
    };
    let mut pieces = Vec::new();
    for piece in sip::split_outside(&bytes, *separator) {
        pieces.push(objects::text(py, piece.map_err(|error| objects::parse_error(py, &error))?)?);
    }
    PyList::new(py, pieces)
}

/// Whether a text can stand unquoted.
#[pyfunction]
fn is_token(text: &Bound<'_, PyString>) -> PyResult<bool> {
    Ok(sip::is_token(&objects::bytes(text)?))
}

/// A quoted string without quotes and escapes.
#[pyfunction]
fn unquote<'py>(text: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyString>> {
    objects::text(text.py(), &sip::unquote(&objects::bytes(text)?))
}
