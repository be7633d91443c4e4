//! Tokens, quoted strings, lists and parameters.   RFC 3261 section 25.1.

use std::borrow::Cow;

use super::Error;

/// Which bytes belong to a set, by their value.
pub(super) type Set = [bool; 256];

/// The letters and digits, and these bytes.
pub(super) const fn alphanumeric_and(others: &[u8]) -> Set {
    let mut set = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        set[byte] = matches!(byte, 0x30..=0x39 | 0x41..=0x5a | 0x61..=0x7a);
        byte += 1;
    }
    let mut at = 0;
    while at < others.len() {
        set[others[at] as usize] = true;
        at += 1;
    }
    set
}

const TOKEN: Set = alphanumeric_and(b"-.!%*_+`'~");

/// Whether all bytes are of the set.
pub(super) fn is_all(text: &[u8], set: &Set) -> bool {
    text.iter().all(|byte| set[usize::from(*byte)])
}

/// Whether a text can stand unquoted: `token`.
#[must_use]
pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && is_all(text, &TOKEN)
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// The text without blanks before and after.
#[must_use]
pub fn trim(text: &[u8]) -> &[u8] {
    trim_start(trim_end(text))
}

pub(super) fn trim_start(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && is_blank(*first)
    {
        text = rest;
    }
    text
}

pub(super) fn trim_end(mut text: &[u8]) -> &[u8] {
    while let [rest @ .., last] = text
        && is_blank(*last)
    {
        text = rest;
    }
    text
}

/// What stands before the first such byte, and behind it; None behind it where it is not there.
pub(super) fn partition(text: &[u8], byte: u8) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|each| *each == byte) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

/// Length of the quoted string at the beginning of a text, with its quotes; None if it is not closed.
pub(super) fn quoted_len(text: &[u8]) -> Option<usize> {
    let mut bytes = text.iter().enumerate();
    if bytes.next()?.1 != &b'"' {
        return None;
    }
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()?),
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// A quoted string without quotes and escapes; a text that is not quoted as it is.
#[must_use]
pub fn unquote(text: &[u8]) -> Cow<'_, [u8]> {
    let [b'"', inner @ .., b'"'] = text else { return Cow::Borrowed(text) };
    if !inner.contains(&b'\\') {
        return Cow::Borrowed(inner);
    }
    let mut plain = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(byte) = bytes.next() {
        // A backslash at the very end has nothing to escape.
        plain.push(if *byte == b'\\' { *bytes.next().unwrap_or(byte) } else { *byte });
    }
    Cow::Owned(plain)
}

/// The pieces of a text between separators that stand neither in quotes nor between `<` and `>`, without blanks around.
///
/// Ends in an error where a quote or an angle bracket is not closed.
pub fn split_outside(text: &[u8], separator: u8) -> impl Iterator<Item = Result<&[u8], Error>> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest.take()?;
        Some(piece_len(text, separator).map(|len| {
            rest = text.get(len + 1..);
            trim(&text[..len])
        }))
    })
}

/// Where the first piece of a text ends.
fn piece_len(text: &[u8], separator: u8) -> Result<usize, Error> {
    let (mut is_quoted, mut is_in_angle) = (false, false);
    let mut bytes = text.iter().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' if is_quoted => drop(bytes.next()),
            b'"' => is_quoted = !is_quoted,
            _ if is_quoted => {}
            b'<' => is_in_angle = true,
            b'>' => is_in_angle = false,
            byte if *byte == separator && !is_in_angle => return Ok(at),
            _ => {}
        }
    }
    if is_quoted || is_in_angle {
        return Err(Error::Syntax("a quote or an angle bracket is not closed"));
    }
    Ok(text.len())
}

/// The values of a header's fields, which may hold several each, separated by commas. Empty ones are left out.
pub fn list<'a>(fields: impl Iterator<Item = &'a [u8]>) -> impl Iterator<Item = Result<&'a [u8], Error>> {
    fields.flat_map(|field| split_outside(field, b',')).filter(|piece| !matches!(piece, Ok([])))
}

/// A name, and a raw value (with its quotes); None for a name without `=`.
pub type Parameter<'a> = (&'a [u8], Option<&'a [u8]>);

/// What follows the first `;` of a value, known to be well formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters<'a>(&'a [u8]);

impl<'a> Parameters<'a> {
    /// No parameters.
    pub const NONE: Self = Self(b"");

    /// Check `name=value;name...`. Empty pieces are skipped, as many peers send them.
    pub fn parse(text: &'a [u8]) -> Result<Self, Error> {
        if text.is_empty() {
            return Ok(Self::NONE);
        }
        for piece in split_outside(text, b';') {
            let piece = piece?;
            if piece.is_empty() {
                continue;
            }
            let (name, value) = Self::split(piece);
            if !is_token(name) {
                return Err(Error::ParameterName(lossy(name)));
            }
            if !value.is_none_or(is_parameter_value) {
                return Err(Error::ParameterValue(lossy(name)));
            }
        }
        Ok(Self(text))
    }

    fn split(piece: &'a [u8]) -> Parameter<'a> {
        let (name, value) = partition(piece, b'=');
        (trim_end(name), value.map(trim_start))
    }

    /// Them one by one, in their order.
    pub fn iter(self) -> impl Iterator<Item = Parameter<'a>> {
        let text = (!self.0.is_empty()).then_some(self.0);
        let pieces = text.into_iter().flat_map(|text| split_outside(text, b';')).map_while(Result::ok);
        pieces.filter(|piece| !piece.is_empty()).map(Self::split)
    }

    /// Value of the first parameter of this name, without regard to case; None if there is none or it has no value.
    #[must_use]
    pub fn get(self, name: &[u8]) -> Option<&'a [u8]> {
        self.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).and_then(|(_, value)| value)
    }
}

fn is_parameter_value(value: &[u8]) -> bool {
    if value.first() == Some(&b'"') {
        return quoted_len(value) == Some(value.len());
    }
    !value.iter().any(|byte| matches!(byte, 0..=0x20 | 0x7f | b'"' | b'<' | b'>' | b',' | b';'))
}

/// A plain number: delta-seconds, a length, hops. Blanks around it are left out.
pub fn number(text: &[u8], maximum: u64) -> Result<u64, Error> {
    let value = digits(trim(text), 12).ok_or(Error::Syntax("not a number"))?;
    if value > maximum {
        return Err(Error::Syntax("a number out of range"));
    }
    Ok(value)
}

/// A number of one to so many digits, at most 19, and nothing else.
pub(super) fn digits(text: &[u8], most: usize) -> Option<u64> {
    if text.is_empty() || text.len() > most {
        return None;
    }
    text.iter().try_fold(0_u64, |value, byte| match byte {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}

/// Text for an error message.
pub(super) fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}
