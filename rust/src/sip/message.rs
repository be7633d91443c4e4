//! Whole messages: the start line, unfolding, what every message must have.   RFC 3261 sections 7, 8.1.1, 18.3, 25.

use super::headers::{Headers, Text};
use super::text::{digits, is_token, list, number, partition, trim};
use super::{CSeq, Error, HeaderId, NameAddr, Uri, Via};

/// The longest message that is read.
pub const MAX_MESSAGE_BYTES: usize = 65_536;
/// The longest line, unfolded.
pub const MAX_LINE_BYTES: usize = 8_192;
/// Header fields of a message.
pub const MAX_HEADERS: usize = 128;
/// Via values of a message.
pub const MAX_VIAS: usize = 64;

/// A message as it came.
#[derive(Debug)]
pub struct Message<'a> {
    /// What it is.
    pub start: Start,
    /// Its fields.
    pub headers: Headers,
    /// What Content-Length says that belongs to it; empty if something is wrong.
    pub body: &'a [u8],
    /// What is wrong with a request that can be read well enough to be answered.
    pub trouble: Option<Trouble>,
}

/// The parts of a start line.
#[derive(Debug)]
pub enum Start {
    /// Of a response: 100 to 699, and the phrase.
    Status(u16, Text),
    /// Of a request: the method, a token; the Request-URI, which can be read if there is no trouble.
    Request(Text, Text),
}

/// Why a request cannot be taken.
#[derive(Debug, PartialEq, Eq)]
pub enum Trouble {
    /// A version of SIP that is not 2.0: 505.
    Version(String),
    /// Anything else: 400.
    Syntax(Error),
}

/// Read one datagram or one frame; bytes after Content-Length are ignored. An error if there is nothing to answer.
///
/// In a message without trouble the typed headers of `check` can all be read.
pub fn read(data: &[u8]) -> Result<Message<'_>, Error> {
    if data.len() > MAX_MESSAGE_BYTES {
        return Err(Error::Syntax("a message over the size limit"));
    }
    let begin = data.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(data.len());
    let data = &data[begin..];
    let end = blank_line(data).ok_or(Error::Syntax("no end of the headers"))?;
    let rest = &data[end + 4..];
    let lines = unfolded(&Text::from(&data[..end]))?;
    let Some((first, lines)) = lines.split_first() else { return Err(Error::Syntax("no end of the headers")) };
    let headers = Headers::read(lines)?;
    if let Some((status, reason)) = status_line(first) {
        let body = body(&headers, rest)?;
        check(&headers, None)?;
        return Ok(Message { start: Start::Status(status, reason), headers, body, trouble: None });
    }
    let (method, uri, version) =
        request_line(first).ok_or(Error::Syntax("neither a request line nor a status line"))?;
    let judged = || {
        if version != b"2.0" {
            return Err(Trouble::Version(String::from_utf8_lossy(version).into_owned()));
        }
        let judged = Uri::parse(uri).and_then(|_| body(&headers, rest));
        judged.and_then(|body| check(&headers, Some(method)).map(|()| body)).map_err(Trouble::Syntax)
    };
    let (body, trouble) = match judged() {
        Ok(body) => (body, None),
        Err(trouble) => (&[][..], Some(trouble)),
    };
    Ok(Message { start: Start::Request(first.share(method), first.share(uri)), headers, body, trouble })
}

/// Where the first blank line begins, with the line break before it.
fn blank_line(data: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + data.get(from..)?.iter().position(|byte| *byte == b'\n')?;
        if at >= 3 && data[at - 3..at] == *b"\r\n\r" {
            return Some(at - 3);
        }
        from = at + 1;
    }
}

/// The lines of a head, each with what was folded into it.
fn unfolded(head: &Text) -> Result<Vec<Text>, Error> {
    let mut lines: Vec<Text> = Vec::with_capacity(32);
    for line in Lines(Some(head)) {
        if line.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
            return Err(Error::Syntax("CR or LF alone"));
        }
        let count = lines.len();
        match (line.first(), lines.last_mut()) {
            (Some(b' ' | b'\t'), Some(last)) => *last = [&**last, b" ", trim(line)].concat().into(),
            _ if count > MAX_HEADERS => return Err(Error::Syntax("too many headers")),
            _ => lines.push(head.share(line)),
        }
        if lines.last().is_some_and(|line| line.len() > MAX_LINE_BYTES) {
            return Err(Error::Syntax("a line over the size limit"));
        }
    }
    Ok(lines)
}

/// What stands between line breaks.
struct Lines<'a>(Option<&'a [u8]>);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let text = self.0.take()?;
        let mut from = 0;
        while let Some(at) = text[from..].iter().position(|byte| *byte == b'\n').map(|at| from + at) {
            if at > 0 && text[at - 1] == b'\r' {
                self.0 = Some(&text[at + 1..]);
                return Some(&text[..at - 1]);
            }
            from = at + 1;
        }
        Some(text)
    }
}

/// Whether these are the three digits of a status.
#[must_use]
pub fn is_status(text: &[u8]) -> bool {
    matches!(text, [b'1'..=b'6', b'0'..=b'9', b'0'..=b'9'])
}

fn status_line(line: &Text) -> Option<(u16, Text)> {
    let (version, rest) = line.split_at_checked(8)?;
    let (status, reason) = partition(rest, b' ');
    let is_it = version.eq_ignore_ascii_case(b"SIP/2.0 ") && is_status(status);
    let status = digits(status, 3).filter(|_| is_it).and_then(|status| u16::try_from(status).ok())?;
    Some((status, line.share(reason.unwrap_or_default())))
}

/// Method, Request-URI and the digits of the version.
fn request_line(line: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let end = line.iter().rposition(|byte| *byte != b' ')? + 1;
    let (method, rest) = partition(&line[..end], b' ');
    let rest = rest?;
    let at = rest.iter().rposition(|byte| *byte == b' ')?;
    let (uri, version) = (&rest[..at], &rest[at + 1..]);
    let (name, version) = version.split_at_checked(4)?;
    let (major, minor) = partition(version, b'.');
    let is_number = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let is_version = name.eq_ignore_ascii_case(b"SIP/") && is_number(major) && minor.is_some_and(is_number);
    (is_version && is_token(method) && !uri.is_empty()).then_some((method, uri, version))
}

fn body<'a>(headers: &Headers, rest: &'a [u8]) -> Result<&'a [u8], Error> {
    let mut lengths = headers.values(HeaderId::ContentLength.into());
    let Some(length) = lengths.next() else { return Ok(rest) };
    let length = number(length, u64::from(u32::MAX))?;
    let body = usize::try_from(length).ok().and_then(|length| rest.get(..length));
    body.filter(|_| lengths.next().is_none()).ok_or(Error::Syntax("Content-Length and body do not agree"))
}

/// Make sure that what every message must have is there, once, and that what routes it can be read.
///
/// method: of the request, None for a response.
fn check(headers: &Headers, method: Option<&[u8]>) -> Result<(), Error> {
    headers.check_single()?;
    let mut vias = 0;
    for via in list(values(headers, HeaderId::Via)) {
        Via::parse(via?)?;
        vias += 1;
    }
    match vias {
        0 => return Err(Error::Missing("Via")),
        1..=MAX_VIAS => {}
        _ => return Err(Error::Syntax("too many Via values")),
    }
    for contact in contacts(headers) {
        NameAddr::parse(contact?)?;
    }
    for route in list(values(headers, HeaderId::RecordRoute)) {
        NameAddr::parse(route?)?;
    }
    let cseq = CSeq::parse(headers.one(HeaderId::CSeq)?)?;
    let from = NameAddr::parse(headers.one(HeaderId::From)?)?;
    let to = NameAddr::parse(headers.one(HeaderId::To)?)?;
    if headers.one(HeaderId::CallId)?.is_empty() {
        return Err(Error::Syntax("an empty Call-ID"));
    }
    // Their values go into requests of ours; elsewhere RFC 3261 allows a NUL in a quoted string.
    for id in [HeaderId::CallId, HeaderId::Contact, HeaderId::RecordRoute] {
        if values(headers, id).any(|value| value.contains(&0)) {
            return Err(Error::Nul(id.name()));
        }
    }
    from.check_tag()?;
    to.check_tag()?;
    if let Some(method) = method {
        for route in list(values(headers, HeaderId::Route)) {
            NameAddr::parse(route?)?;
        }
        if cseq.method != method {
            return Err(Error::Syntax("CSeq names another method"));
        }
    }
    if let Some(hops) = values(headers, HeaderId::MaxForwards).next() {
        number(hops, 255)?;
    }
    Ok(())
}

/// The values of Contact; none for `*`.
pub fn contacts(headers: &Headers) -> impl Iterator<Item = Result<&[u8], Error>> {
    let is_all = values(headers, HeaderId::Contact).next().is_some_and(|first| first == b"*");
    list(values(headers, HeaderId::Contact).filter(move |_| !is_all))
}

fn values(headers: &Headers, id: HeaderId) -> impl Iterator<Item = &[u8]> {
    headers.values(id.into()).map(|value| &**value)
}
