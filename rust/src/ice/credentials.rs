//! Local user name fragment and password.   RFC 8445 section 5.3.

/// What our SDP says as `ice-ufrag` and `ice-pwd`.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    ufrag: String,
    pwd: String,
}

impl Credentials {
    /// Random bytes that [`Credentials::from_random`] wants.
    pub const RANDOM_BYTES: usize = 32;

    /// Make credentials of 8 and 24 characters (48 and 144 bits) from random bytes.
    #[must_use]
    pub fn from_random(random: &[u8; Self::RANDOM_BYTES]) -> Self {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let (ufrag, pwd) = random.split_at(8);
        let text = |bytes: &[u8]| bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 63)])).collect();
        Self { ufrag: text(ufrag), pwd: text(pwd) }
    }

    /// `ice-ufrag`: the key by which a shared socket finds the endpoint.
    #[must_use]
    pub fn ufrag(&self) -> &str {
        &self.ufrag
    }

    /// `ice-pwd`: the key of the integrity of checks and answers.
    #[must_use]
    pub fn pwd(&self) -> &str {
        &self.pwd
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("ufrag", &self.ufrag).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_those_of_ice_and_all_of_them() {
        let mut seen = std::collections::BTreeSet::new();
        for byte in 0..=u8::MAX {
            let credentials = Credentials::from_random(&[byte; Credentials::RANDOM_BYTES]);
            assert_eq!((credentials.ufrag().len(), credentials.pwd().len()), (8, 24));
            assert!(credentials.pwd().chars().all(|c| c.is_ascii_alphanumeric() || c == '+' || c == '/'));
            seen.extend(credentials.ufrag().chars());
        }
        assert_eq!(seen.len(), 64);
    }

    #[test]
    fn debug_output_holds_no_password() {
        let credentials = Credentials::from_random(&[7; Credentials::RANDOM_BYTES]);
        assert!(!format!("{credentials:?}").contains(credentials.pwd()));
    }
}
