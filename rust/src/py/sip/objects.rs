//! Python's values of SIP made from the parts that `crate::sip` reads, and texts from one language to the other.
//!
//! The classes are those of `trunkline.sip`; see `values`.

use std::borrow::Cow;

use pyo3::exceptions::PyUnicodeEncodeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyString, PyTuple};

use crate::py::values::{Class, filled};
use crate::sip;

/// The exception of `trunkline.errors` for bytes of a peer's that cannot be read.
pub(super) fn parse_error(py: Python<'_>, error: &sip::Error) -> PyErr {
    raise_parse_error(py, error.to_string())
}

/// The same with words of Python's.
pub(super) fn raise_parse_error(py: Python<'_>, text: String) -> PyErr {
    raise(py, "SipParseError", text)
}

/// The exception of `trunkline.errors` for a text of our own that must not be sent.
pub(super) fn local_error(py: Python<'_>, text: String) -> PyErr {
    raise(py, "LocalProtocolError", text)
}

fn raise(py: Python<'_>, class: &str, text: String) -> PyErr {
    let exception = || py.import("trunkline.errors")?.getattr(class)?.call1((text,));
    exception().map_or_else(|error| error, PyErr::from_value)
}

/// A text as Python has it: what is not UTF-8 becomes surrogate escapes.
pub(super) fn text<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyString>> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(PyString::new(py, text)),
        Err(_) => Ok(PyBytes::new(py, bytes).call_method1("decode", ("utf-8", "surrogateescape"))?.cast_into()?),
    }
}

/// The bytes of a text. `UnicodeEncodeError` for surrogates that stand for no byte.
pub(super) fn bytes<'a>(text: &'a Bound<'_, PyString>) -> PyResult<Cow<'a, [u8]>> {
    match text.to_str() {
        Ok(text) => Ok(Cow::Borrowed(text.as_bytes())),
        Err(error) if error.is_instance_of::<PyUnicodeEncodeError>(text.py()) => {
            let encoded = text.call_method1("encode", ("utf-8", "surrogateescape"))?;
            Ok(Cow::Owned(encoded.cast::<PyBytes>()?.as_bytes().to_vec()))
        }
        Err(error) => Err(error),
    }
}

/// A URI as `SipUri` or `OpaqueUri`.
pub(super) fn uri<'py>(py: Python<'py>, uri: &sip::Uri<'_>) -> PyResult<Bound<'py, PyAny>> {
    match uri {
        sip::Uri::Sip(uri) => sip_uri(py, uri),
        sip::Uri::Opaque(uri) => opaque_uri(py, text(py, &uri.scheme.to_ascii_lowercase())?, text(py, uri.rest)?),
    }
}

fn sip_uri<'py>(py: Python<'py>, uri: &sip::SipUri<'_>) -> PyResult<Bound<'py, PyAny>> {
    static CLASS: Class = PyOnceLock::new();
    let scheme = if uri.is_secure { intern!(py, "sips") } else { intern!(py, "sip") };
    let fields = [
        (intern!(py, "scheme"), scheme.clone().into_any()),
        (intern!(py, "user"), optional(py, uri.user)?),
        (intern!(py, "host"), text(py, uri.host)?.into_any()),
        (intern!(py, "port"), port(py, uri.port)?),
        (intern!(py, "parameters"), pairs(py, uri.parameters())?.into_any()),
        (intern!(py, "password"), optional(py, uri.password)?),
        (intern!(py, "header_text"), optional(py, uri.header_text)?),
    ];
    filled(CLASS.import(py, "trunkline.sip.headers.uri", "SipUri")?, fields)
}

fn opaque_uri<'py>(
    py: Python<'py>,
    scheme: Bound<'py, PyString>,
    rest: Bound<'py, PyString>,
) -> PyResult<Bound<'py, PyAny>> {
    static CLASS: Class = PyOnceLock::new();
    let fields = [(intern!(py, "scheme"), scheme.into_any()), (intern!(py, "rest"), rest.into_any())];
    filled(CLASS.import(py, "trunkline.sip.headers.uri", "OpaqueUri")?, fields)
}

/// An address as `NameAddr`.
pub(super) fn name_addr<'py>(py: Python<'py>, address: &sip::NameAddr<'_>) -> PyResult<Bound<'py, PyAny>> {
    static CLASS: Class = PyOnceLock::new();
    let fields = [
        (intern!(py, "uri"), uri(py, &address.uri)?),
        (intern!(py, "display_name"), text(py, &address.display_name)?.into_any()),
        (intern!(py, "parameters"), pairs(py, address.parameters.iter())?.into_any()),
    ];
    filled(CLASS.import(py, "trunkline.sip.headers.address", "NameAddr")?, fields)
}

/// A Via as `Via`.
pub(super) fn via<'py>(py: Python<'py>, via: &sip::Via<'_>) -> PyResult<Bound<'py, PyAny>> {
    static CLASS: Class = PyOnceLock::new();
    let fields = [
        (intern!(py, "transport"), text(py, &via.transport.to_ascii_uppercase())?.into_any()),
        (intern!(py, "host"), text(py, via.host)?.into_any()),
        (intern!(py, "port"), port(py, via.port)?),
        (intern!(py, "parameters"), pairs(py, via.parameters.iter())?.into_any()),
    ];
    filled(CLASS.import(py, "trunkline.sip.headers.address", "Via")?, fields)
}

/// A `CSeq` as `CSeq`.
pub(super) fn cseq<'py>(py: Python<'py>, cseq: &sip::CSeq<'_>) -> PyResult<Bound<'py, PyAny>> {
    static CLASS: Class = PyOnceLock::new();
    let fields = [
        (intern!(py, "number"), cseq.number.into_pyobject(py)?.into_any()),
        (intern!(py, "method"), text(py, cseq.method)?.into_any()),
    ];
    filled(CLASS.import(py, "trunkline.sip.headers.fields", "CSeq")?, fields)
}

/// A message as `Request` or `Response`; `BadRequestError` with the request in it if there is trouble.
pub(super) fn message<'py>(
    py: Python<'py>,
    start: &sip::Start,
    headers: Bound<'py, PyAny>,
    body: &[u8],
    trouble: Option<&sip::Trouble>,
) -> PyResult<Bound<'py, PyAny>> {
    static REQUEST: Class = PyOnceLock::new();
    static RESPONSE: Class = PyOnceLock::new();
    let headers = (intern!(py, "headers"), headers);
    let body = (intern!(py, "body"), PyBytes::new(py, body).into_any());
    match start {
        sip::Start::Status(status, reason) => {
            let status = (intern!(py, "status"), status.into_pyobject(py)?.into_any());
            let reason = (intern!(py, "reason"), text(py, reason)?.into_any());
            filled(RESPONSE.import(py, "trunkline.sip.message", "Response")?, [status, reason, headers, body])
        }
        sip::Start::Request(method, target) => {
            let target = match trouble {
                None => uri(py, &sip::Uri::parse(target).map_err(|error| parse_error(py, &error))?)?,
                Some(_) => opaque_uri(py, PyString::new(py, ""), text(py, target)?)?,
            };
            let method = (intern!(py, "method"), text(py, method)?.into_any());
            let class = REQUEST.import(py, "trunkline.sip.message", "Request")?;
            let request = filled(class, [method, (intern!(py, "uri"), target), headers, body])?;
            match trouble {
                None => Ok(request),
                Some(trouble) => Err(bad_request(py, &request, trouble)),
            }
        }
    }
}

fn bad_request(py: Python<'_>, request: &Bound<'_, PyAny>, trouble: &sip::Trouble) -> PyErr {
    let (text, status) = match trouble {
        sip::Trouble::Version(version) => (format!("SIP version {version}"), 505),
        sip::Trouble::Syntax(error) => (error.to_string(), 400),
    };
    let exception = || py.import("trunkline.sip.parser")?.getattr("BadRequestError")?.call1((text, request, status));
    exception().map_or_else(|error| error, PyErr::from_value)
}

/// Names and values as a tuple of pairs.
pub(super) fn pairs<'py, 'a>(
    py: Python<'py>,
    parameters: impl Iterator<Item = sip::Parameter<'a>>,
) -> PyResult<Bound<'py, PyTuple>> {
    let mut found = Vec::new();
    for (name, value) in parameters {
        found.push((text(py, name)?, optional(py, value)?).into_pyobject(py)?);
    }
    if found.is_empty() { Ok(PyTuple::empty(py)) } else { PyTuple::new(py, found) }
}

fn optional<'py>(py: Python<'py>, bytes: Option<&[u8]>) -> PyResult<Bound<'py, PyAny>> {
    bytes.map_or_else(|| Ok(py.None().into_bound(py)), |bytes| Ok(text(py, bytes)?.into_any()))
}

fn port(py: Python<'_>, port: Option<u16>) -> PyResult<Bound<'_, PyAny>> {
    Ok(port.into_pyobject(py)?)
}
