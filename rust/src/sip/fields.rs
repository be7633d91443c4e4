//! `CSeq`.   RFC 3261 section 20.16.

use super::Error;
use super::text::{digits, is_token, trim, trim_start};

/// RFC 3261 section 8.1.1.5.
pub const MAX_CSEQ: u32 = (1 << 31) - 1;

/// Sequence number and method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CSeq<'a> {
    /// At most `MAX_CSEQ`.
    pub number: u32,
    /// A token.
    pub method: &'a [u8],
}

impl<'a> CSeq<'a> {
    /// Read the value.
    pub fn parse(text: &'a [u8]) -> Result<Self, Error> {
        Self::cut(trim(text)).ok_or(Error::Syntax("bad CSeq"))
    }

    fn cut(text: &'a [u8]) -> Option<Self> {
        let end = text.iter().position(|byte| matches!(byte, b' ' | b'\t'))?;
        let (number, method) = (digits(&text[..end], 10)?, trim_start(&text[end..]));
        let number = u32::try_from(number).ok().filter(|number| *number <= MAX_CSEQ)?;
        is_token(method).then_some(Self { number, method })
    }
}
