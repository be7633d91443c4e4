//! `HeaderList`: the header fields of one message, with typed access.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyIterator, PyList, PyString, PyTuple};

use super::objects;
use crate::sip::{self, CSeq, HeaderId, Headers, Key, NameAddr, Text, Via};

/// Header fields in order; names compare without regard to case. See the stub.
#[pyclass(module = "trunkline._media")]
#[derive(Default)]
pub(super) struct HeaderList {
    pub(super) core: Headers,
    typed: Typed,
}

/// Typed values that were made from fields, by header, until one of its fields changes.
#[derive(Default)]
struct Typed {
    known: Vec<(HeaderId, Py<PyAny>)>,
    /// By names in lower case.
    others: Vec<(Vec<u8>, Py<PyAny>)>,
}

impl Typed {
    fn get(&self, name: &[u8]) -> Option<&Py<PyAny>> {
        match HeaderId::of(name) {
            HeaderId::Other => {
                self.others.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
            }
            id => self.of(id),
        }
    }

    fn of(&self, id: HeaderId) -> Option<&Py<PyAny>> {
        self.known.iter().find(|(known, _)| *known == id).map(|(_, value)| value)
    }

    fn set(&mut self, name: &[u8], value: Py<PyAny>) {
        self.forget(name);
        match HeaderId::of(name) {
            HeaderId::Other => self.others.push((name.to_ascii_lowercase(), value)),
            id => self.known.push((id, value)),
        }
    }

    fn forget(&mut self, name: &[u8]) {
        match HeaderId::of(name) {
            HeaderId::Other => self.others.retain(|(known, _)| !known.eq_ignore_ascii_case(name)),
            id => self.known.retain(|(known, _)| *known != id),
        }
    }

    fn copy(&self, py: Python<'_>) -> Self {
        Self {
            known: self.known.iter().map(|(id, value)| (*id, value.clone_ref(py))).collect(),
            others: self.others.iter().map(|(name, value)| (name.clone(), value.clone_ref(py))).collect(),
        }
    }
}

impl HeaderList {
    pub(super) fn of(core: Headers) -> Self {
        Self { core, typed: Typed::default() }
    }

    /// A typed value, remembered.
    fn remembered<'py>(
        &mut self,
        py: Python<'py>,
        id: HeaderId,
        make: impl FnOnce(&Headers) -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if let Some(known) = self.typed.of(id) {
            return Ok(known.bind(py).clone());
        }
        let made = make(&self.core)?;
        self.typed.known.push((id, made.clone().unbind()));
        Ok(made)
    }

    fn address<'py>(&mut self, py: Python<'py>, id: HeaderId) -> PyResult<Bound<'py, PyAny>> {
        self.remembered(py, id, |core| {
            let read = core.one(id).and_then(|value| NameAddr::parse(value));
            objects::name_addr(py, &read.map_err(|error| objects::parse_error(py, &error))?)
        })
    }

    fn addresses<'py>(&mut self, py: Python<'py>, id: HeaderId) -> PyResult<Bound<'py, PyAny>> {
        self.remembered(py, id, |core| {
            many(py, values(core, id), |value| {
                objects::name_addr(py, &NameAddr::parse(value).map_err(|error| objects::parse_error(py, &error))?)
            })
        })
    }
}

fn values(core: &Headers, id: HeaderId) -> impl Iterator<Item = Result<&[u8], sip::Error>> {
    sip::list(core.values(id.into()).map(|value| &**value))
}

fn many<'py, 'a>(
    py: Python<'py>,
    values: impl Iterator<Item = Result<&'a [u8], sip::Error>>,
    make: impl Fn(&[u8]) -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let mut made = Vec::new();
    for value in values {
        made.push(make(value.map_err(|error| objects::parse_error(py, &error))?)?);
    }
    Ok(if made.is_empty() { PyTuple::empty(py) } else { PyTuple::new(py, made)? }.into_any())
}

/// Name and value of a field of our own: `LocalProtocolError` on what would break out of a header line.
fn checked(name: &Bound<'_, PyString>, value: &Bound<'_, PyString>) -> PyResult<(Text, Text)> {
    let py = name.py();
    let (name_bytes, value_bytes) = (objects::bytes(name)?, objects::bytes(value)?);
    if !sip::is_token(&name_bytes) {
        return Err(objects::local_error(py, format!("not a header name: {}", name.repr()?)));
    }
    if value_bytes.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        return Err(objects::local_error(py, format!("CR, LF or NUL in a value of {name}")));
    }
    Ok((name_text(&name_bytes), Text::from(&*value_bytes)))
}

/// A name as it stands; without a copy, if it is one that we know and write like this.
fn name_text(name: &[u8]) -> Text {
    let known = HeaderId::of(name).name();
    if known.as_bytes() == name { Text::from(known) } else { Text::from(name) }
}

#[pymethods]
impl HeaderList {
    #[new]
    #[pyo3(signature = (fields=None))]
    fn new(fields: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let mut list = Self::default();
        if let Some(fields) = fields {
            for field in fields.try_iter()? {
                let (name, value): (Bound<'_, PyString>, Bound<'_, PyString>) = field?.extract()?;
                list.add(&name, &value)?;
            }
        }
        Ok(list)
    }

    #[staticmethod]
    fn received(fields: &Bound<'_, PyAny>) -> PyResult<Self> {
        let mut list = Self::default();
        for field in fields.try_iter()? {
            let (name, value): (Bound<'_, PyString>, Bound<'_, PyString>) = field?.extract()?;
            list.add_received(&name, &value)?;
        }
        Ok(list)
    }

    #[staticmethod]
    #[pyo3(signature = (request, to_tag, *, with_timestamp))]
    fn of_response(request: &Self, to_tag: Option<&Bound<'_, PyString>>, with_timestamp: bool) -> PyResult<Self> {
        let tag = to_tag.map(objects::bytes).transpose()?;
        Ok(Self::of(Headers::of_response(&request.core, tag.as_deref(), with_timestamp)))
    }

    #[getter]
    fn may_be_tagged(&self) -> bool {
        self.core.may_be_tagged()
    }

    fn copy(&self, py: Python<'_>) -> Self {
        Self { core: self.core.clone(), typed: self.typed.copy(py) }
    }

    fn add(&mut self, name: &Bound<'_, PyString>, value: &Bound<'_, PyString>) -> PyResult<()> {
        let (name, value) = checked(name, value)?;
        self.typed.forget(&name);
        self.core.push(name, value);
        Ok(())
    }

    fn prepend(&mut self, name: &Bound<'_, PyString>, value: &Bound<'_, PyString>) -> PyResult<()> {
        let (name, value) = checked(name, value)?;
        self.typed.forget(&name);
        self.core.insert_first(name, value);
        Ok(())
    }

    fn add_received(&mut self, name: &Bound<'_, PyString>, value: &Bound<'_, PyString>) -> PyResult<()> {
        let (name, value) = (objects::bytes(name)?, objects::bytes(value)?);
        self.typed.forget(&name);
        self.core.push(name_text(&name), Text::from(&*value));
        Ok(())
    }

    fn extend_received(&mut self, name: &str, other: &Self) {
        self.typed.forget(name.as_bytes());
        for value in other.core.values(Key::of(name.as_bytes())) {
            self.core.push(name_text(name.as_bytes()), value.clone());
        }
    }

    fn echo(&mut self, name: &str, other: &Self) {
        self.typed.forget(name.as_bytes());
        if let Some(value) = other.core.values(Key::of(name.as_bytes())).next() {
            self.core.push(name_text(name.as_bytes()), value.clone());
        }
    }

    fn set(&mut self, name: &Bound<'_, PyString>, value: &Bound<'_, PyString>) -> PyResult<()> {
        let (name, value) = checked(name, value)?;
        self.typed.forget(&name);
        self.core.set(&name, value);
        Ok(())
    }

    fn prepend_via(&mut self, via: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = via.py();
        let older = self.vias(py)?;
        self.prepend(intern!(py, "Via"), &via.str()?)?;
        self.remember_vias(via, older.cast::<PyTuple>()?.iter())
    }

    fn set_top_via(&mut self, via: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = via.py();
        let Some(first) = self.core.values(HeaderId::Via.into()).next() else { return Ok(()) };
        let mut top = objects::bytes(&via.str()?)?.into_owned();
        for piece in sip::split_outside(first, b',').skip(1) {
            top.extend_from_slice(b", ");
            top.extend_from_slice(piece.map_err(|error| objects::parse_error(py, &error))?);
        }
        let older = self.vias(py)?;
        self.core.replace_first(HeaderId::Via, Text::from(top));
        self.remember_vias(via, older.cast::<PyTuple>()?.iter().skip(1))
    }

    fn remove(&mut self, name: &str) {
        self.typed.forget(name.as_bytes());
        self.core.remove(Key::of(name.as_bytes()));
    }

    fn get<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Option<Bound<'py, PyString>>> {
        let value = self.core.values(Key::of(name.as_bytes())).next();
        value.map(|value| objects::text(py, value)).transpose()
    }

    fn get_all<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyTuple>> {
        let values = self.core.values(Key::of(name.as_bytes()));
        let texts = values.map(|value| objects::text(py, value)).collect::<PyResult<Vec<_>>>()?;
        if texts.is_empty() { Ok(PyTuple::empty(py)) } else { PyTuple::new(py, texts) }
    }

    fn release(&mut self) {
        self.typed = Typed::default();
    }

    // The list is not borrowed while Python's function runs, which may look at it.
    fn one<'py>(slf: &Bound<'py, Self>, name: &str, parse: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        if let Some(known) = slf.borrow().typed.get(name.as_bytes()) {
            return Ok(known.bind(py).clone());
        }
        let texts = slf.borrow().get_all(py, name)?;
        if texts.len() != 1 {
            let known = HeaderId::of(name.as_bytes()).name();
            let shown = if known.is_empty() { name } else { known };
            let trouble =
                if texts.is_empty() { format!("{shown} is missing") } else { format!("more than one {shown}") };
            return Err(objects::raise_parse_error(py, trouble));
        }
        let value = parse.call1((texts.get_item(0)?,))?;
        slf.borrow_mut().typed.set(name.as_bytes(), value.clone().unbind());
        Ok(value)
    }

    fn many<'py>(slf: &Bound<'py, Self>, name: &str, parse: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        if let Some(known) = slf.borrow().typed.get(name.as_bytes()) {
            return Ok(known.bind(py).clone());
        }
        let texts: Vec<Text> = slf.borrow().core.values(Key::of(name.as_bytes())).cloned().collect();
        let values =
            many(py, sip::list(texts.iter().map(|text| &**text)), |value| parse.call1((objects::text(py, value)?,)))?;
        slf.borrow_mut().typed.set(name.as_bytes(), values.clone().unbind());
        Ok(values)
    }

    #[getter]
    fn from_<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.address(py, HeaderId::From)
    }

    #[getter]
    fn to<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.address(py, HeaderId::To)
    }

    #[getter]
    fn sip_call_id<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.remembered(py, HeaderId::CallId, |core| {
            let value = core.one(HeaderId::CallId).map_err(|error| objects::parse_error(py, &error))?;
            Ok(objects::text(py, value)?.into_any())
        })
    }

    #[getter]
    fn cseq<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.remembered(py, HeaderId::CSeq, |core| {
            let read = core.one(HeaderId::CSeq).and_then(|value| CSeq::parse(value));
            objects::cseq(py, &read.map_err(|error| objects::parse_error(py, &error))?)
        })
    }

    #[getter]
    fn vias<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.remembered(py, HeaderId::Via, |core| {
            many(py, values(core, HeaderId::Via), |value| {
                objects::via(py, &Via::parse(value).map_err(|error| objects::parse_error(py, &error))?)
            })
        })
    }

    #[getter]
    fn contacts<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.remembered(py, HeaderId::Contact, |core| {
            many(py, sip::contacts(core), |value| {
                objects::name_addr(py, &NameAddr::parse(value).map_err(|error| objects::parse_error(py, &error))?)
            })
        })
    }

    #[getter]
    fn record_routes<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.addresses(py, HeaderId::RecordRoute)
    }

    #[getter]
    fn routes<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.addresses(py, HeaderId::Route)
    }

    fn write<'py>(
        &self,
        py: Python<'py>,
        start_line: &Bound<'_, PyString>,
        body: &[u8],
    ) -> PyResult<Bound<'py, PyBytes>> {
        let start_line = objects::bytes(start_line)?;
        if start_line.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            return Err(objects::local_error(py, "CR, LF or NUL in a start line".to_owned()));
        }
        Ok(PyBytes::new(py, &self.core.write(&start_line, body)))
    }

    #[getter]
    fn about_bytes(&self) -> usize {
        self.core.written_len()
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        let pairs = self.core.iter().map(|(name, value)| Ok((objects::text(py, name)?, objects::text(py, value)?)));
        PyList::new(py, pairs.collect::<PyResult<Vec<_>>>()?)?.try_iter()
    }

    fn __len__(&self) -> usize {
        self.core.len()
    }

    fn __eq__(&self, other: &Self) -> bool {
        let is_same = |((name, value), (theirs, their_value)): ((&Text, &Text), (&Text, &Text))| {
            name.eq_ignore_ascii_case(theirs) && **value == **their_value
        };
        self.core.len() == other.core.len() && self.core.iter().zip(other.core.iter()).all(is_same)
    }

    fn __repr__(&self) -> String {
        let names: Vec<_> = self.core.iter().map(|(name, _)| String::from_utf8_lossy(name)).collect();
        format!("HeaderList({names:?})")
    }
}

impl HeaderList {
    fn remember_vias<'py>(
        &mut self,
        top: &Bound<'py, PyAny>,
        older: impl Iterator<Item = Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let vias = PyTuple::new(top.py(), std::iter::once(top.clone()).chain(older).collect::<Vec<_>>())?;
        self.typed.set(b"via", vias.into_any().unbind());
        Ok(())
    }
}
