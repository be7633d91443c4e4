//! The header fields of one message, in their order.   RFC 3261 section 7.3.

use std::ops::{Deref, Range};
use std::sync::Arc;

use super::names::in_full;
use super::text::{is_token, partition, trim, trim_end};
use super::{Error, HeaderId, Key, NameAddr};

/// Bytes that are shared with whoever else holds a part of the same buffer. Cloning copies none.
#[derive(Debug, Clone)]
pub struct Text(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Fixed(&'static [u8]),
    Part { buffer: Arc<[u8]>, start: usize, end: usize },
}

impl Text {
    /// Share a part of this one.
    #[must_use]
    pub fn part(&self, range: Range<usize>) -> Self {
        match &self.0 {
            Kind::Fixed(text) => Self(Kind::Fixed(text.get(range).unwrap_or_default())),
            Kind::Part { buffer, start, .. } => {
                Self(Kind::Part { buffer: Arc::clone(buffer), start: start + range.start, end: start + range.end })
            }
        }
    }

    /// Share what was borrowed from this one; a copy, if it was borrowed from elsewhere.
    #[must_use]
    pub fn share(&self, borrowed: &[u8]) -> Self {
        if borrowed.is_empty() {
            return Self::from("");
        }
        if !self.as_ptr_range().contains(&borrowed.as_ptr()) {
            return Self::from(borrowed);
        }
        let start = borrowed.as_ptr().addr() - self.as_ptr().addr();
        self.part(start..start + borrowed.len())
    }
}

impl Deref for Text {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Kind::Fixed(text) => text,
            Kind::Part { buffer, start, end } => buffer.get(*start..*end).unwrap_or_default(),
        }
    }
}

impl From<&'static str> for Text {
    fn from(text: &'static str) -> Self {
        Self(Kind::Fixed(text.as_bytes()))
    }
}

impl From<&[u8]> for Text {
    fn from(text: &[u8]) -> Self {
        Self(Kind::Part { buffer: Arc::from(text), start: 0, end: text.len() })
    }
}

impl From<Vec<u8>> for Text {
    fn from(text: Vec<u8>) -> Self {
        Self::from(text.as_slice())
    }
}

#[derive(Debug, Clone)]
struct Field {
    id: HeaderId,
    name: Text,
    value: Text,
}

/// Header fields in order. Names compare without regard to case; values are unfolded.
#[derive(Debug, Clone, Default)]
pub struct Headers {
    fields: Vec<Field>,
}

impl Headers {
    /// Read unfolded lines. Compact names are written in full, all others stay as they came.
    pub(super) fn read(lines: &[Text]) -> Result<Self, Error> {
        let mut fields = Vec::with_capacity(lines.len() + 2);
        for line in lines {
            let (name, Some(value)) = partition(line, b':') else {
                return Err(Error::Syntax("a header line without a name"));
            };
            let name = trim_end(name);
            if !is_token(name) {
                return Err(Error::Syntax("a header line without a name"));
            }
            let value = line.share(trim(value));
            let name = in_full(name).map_or_else(|| line.share(name), Text::from);
            fields.push(Field { id: HeaderId::of(&name), name, value });
        }
        Ok(Self { fields })
    }

    /// The fields that every response has: Via, From, To, Call-ID and `CSeq` as they came.   RFC 3261 section 8.2.6.
    ///
    /// `to_tag`: for a To that has none. `with_timestamp`: Timestamp goes back as well, as in a 100.
    #[must_use]
    pub fn of_response(request: &Self, to_tag: Option<&[u8]>, with_timestamp: bool) -> Self {
        let mut headers = Self { fields: Vec::with_capacity(request.fields.len().min(16)) };
        let first = |id: HeaderId| request.values(id.into()).next();
        for via in request.values(HeaderId::Via.into()) {
            headers.push("Via".into(), via.clone());
        }
        for id in [HeaderId::From, HeaderId::To, HeaderId::CallId, HeaderId::CSeq] {
            match (first(id), to_tag) {
                (Some(to), Some(tag)) if id == HeaderId::To => {
                    headers.push(id.name().into(), [&**to, b";tag=", tag].concat().into());
                }
                (Some(value), _) => headers.push(id.name().into(), value.clone()),
                (None, _) => {}
            }
        }
        if let Some(at) = request.values(Key::of(b"Timestamp")).next().filter(|_| with_timestamp) {
            headers.push("Timestamp".into(), at.clone());
        }
        headers
    }

    /// Whether a response gets a To tag of ours: the To can be read, and has none.
    #[must_use]
    pub fn may_be_tagged(&self) -> bool {
        let to = self.one(HeaderId::To).and_then(|to| NameAddr::parse(to));
        to.is_ok_and(|to| to.parameters.get(b"tag").is_none())
    }

    /// Append a field.
    pub fn push(&mut self, name: Text, value: Text) {
        self.fields.push(Field { id: HeaderId::of(&name), name, value });
    }

    /// Put a field before all others.
    pub fn insert_first(&mut self, name: Text, value: Text) {
        self.fields.insert(0, Field { id: HeaderId::of(&name), name, value });
    }

    /// Put one field in the place of all of this name, or at the end.
    pub fn set(&mut self, name: &Text, value: Text) {
        let key = Key::of(name);
        let is_it = |field: &Field| key.is(field.id, &field.name);
        let at = self.fields.iter().position(is_it).unwrap_or(self.fields.len());
        self.fields.retain(|field| !is_it(field));
        let field = Field { id: key.id(), name: name.clone(), value };
        self.fields.insert(at.min(self.fields.len()), field);
    }

    /// Put a value in the place of the first one of this header, if there is one.
    pub fn replace_first(&mut self, id: HeaderId, value: Text) {
        if let Some(field) = self.fields.iter_mut().find(|field| field.id == id) {
            field.value = value;
        }
    }

    /// Drop all fields of this name.
    pub fn remove(&mut self, key: Key<'_>) {
        self.fields.retain(|field| !key.is(field.id, &field.name));
    }

    /// Values of all fields of this name, in order.
    pub fn values<'a>(&'a self, key: Key<'a>) -> impl Iterator<Item = &'a Text> {
        self.fields.iter().filter(move |field| key.is(field.id, &field.name)).map(|field| &field.value)
    }

    /// The value of a header that must be there exactly once.
    pub fn one(&self, id: HeaderId) -> Result<&Text, Error> {
        let mut values = self.values(id.into());
        match (values.next(), values.next()) {
            (Some(value), None) => Ok(value),
            (None, _) => Err(Error::Missing(id.name())),
            _ => Err(Error::Repeated(id.name())),
        }
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Text, &Text)> {
        self.fields.iter().map(|field| (&field.name, &field.value))
    }

    /// How many fields there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// How many bytes the fields take when they are written.
    #[must_use]
    pub fn written_len(&self) -> usize {
        self.fields.iter().map(|field| field.name.len() + field.value.len() + 4).sum()
    }

    /// Write a message. Content-Length is the body's length, whatever a field of that name says.
    #[must_use]
    pub fn write(&self, start_line: &[u8], body: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(start_line.len() + self.written_len() + body.len() + 40);
        out.extend_from_slice(start_line);
        out.extend_from_slice(b"\r\n");
        for field in self.fields.iter().filter(|field| field.id != HeaderId::ContentLength) {
            for part in [&*field.name, b": ", &*field.value, b"\r\n"] {
                out.extend_from_slice(part);
            }
        }
        out.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
        out.extend_from_slice(body);
        out
    }

    /// Make sure that no header that must stand alone is repeated.
    pub(super) fn check_single(&self) -> Result<(), Error> {
        const SINGLE: [HeaderId; 8] = [
            HeaderId::From,
            HeaderId::To,
            HeaderId::CallId,
            HeaderId::CSeq,
            HeaderId::MaxForwards,
            HeaderId::ContentLength,
            HeaderId::ContentType,
            HeaderId::Expires,
        ];
        match SINGLE.into_iter().find(|id| self.values((*id).into()).nth(1).is_some()) {
            Some(id) => Err(Error::Repeated(id.name())),
            None => Ok(()),
        }
    }
}
