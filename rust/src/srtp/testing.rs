//! What the module's tests share.

/// Bytes from pairs of hexadecimal digits.
pub(super) fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes().chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}
