//! Names of header fields: compact forms, and numbers for those that are asked for often.   RFC 3261 section 7.3.3.

/// Headers that are looked up with every message; the others are compared by their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderId {
    /// Any other header.
    Other,
    /// Allow.
    Allow,
    /// Call-ID.
    CallId,
    /// `CSeq`.
    CSeq,
    /// Contact.
    Contact,
    /// Content-Length, which is the message's to write.
    ContentLength,
    /// Content-Type.
    ContentType,
    /// Expires.
    Expires,
    /// From.
    From,
    /// Max-Forwards.
    MaxForwards,
    /// Reason.
    Reason,
    /// Record-Route.
    RecordRoute,
    /// Require.
    Require,
    /// Route.
    Route,
    /// Supported.
    Supported,
    /// To.
    To,
    /// Via.
    Via,
}

const KNOWN: [(&str, HeaderId); 16] = [
    ("Via", HeaderId::Via),
    ("To", HeaderId::To),
    ("From", HeaderId::From),
    ("CSeq", HeaderId::CSeq),
    ("Call-ID", HeaderId::CallId),
    ("Contact", HeaderId::Contact),
    ("Allow", HeaderId::Allow),
    ("Require", HeaderId::Require),
    ("Supported", HeaderId::Supported),
    ("Route", HeaderId::Route),
    ("Record-Route", HeaderId::RecordRoute),
    ("Max-Forwards", HeaderId::MaxForwards),
    ("Content-Type", HeaderId::ContentType),
    ("Content-Length", HeaderId::ContentLength),
    ("Reason", HeaderId::Reason),
    ("Expires", HeaderId::Expires),
];

impl HeaderId {
    /// The number of a name, whatever its case.
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        let is_it = |known: &str| known.len() == name.len() && known.as_bytes().eq_ignore_ascii_case(name);
        KNOWN.iter().find(|(known, _)| is_it(known)).map_or(Self::Other, |(_, id)| *id)
    }

    /// The name as we write it; empty for `Other`.
    #[must_use]
    pub fn name(self) -> &'static str {
        KNOWN.iter().find(|(_, id)| *id == self).map_or("", |(name, _)| name)
    }
}

/// A name to look for.
#[derive(Debug, Clone, Copy)]
pub struct Key<'a> {
    id: HeaderId,
    name: &'a [u8],
}

impl<'a> Key<'a> {
    /// Look for this name, whatever its case.
    #[must_use]
    pub fn of(name: &'a [u8]) -> Self {
        Self { id: HeaderId::of(name), name }
    }

    pub(super) fn is(self, id: HeaderId, name: &[u8]) -> bool {
        self.id == id && (id != HeaderId::Other || self.name.eq_ignore_ascii_case(name))
    }

    pub(super) fn id(self) -> HeaderId {
        self.id
    }
}

impl From<HeaderId> for Key<'_> {
    /// A header that has a number; `Other` finds nothing.
    fn from(id: HeaderId) -> Self {
        Self { id, name: b"" }
    }
}

/// What a name of one letter is short for.
pub(super) fn in_full(name: &[u8]) -> Option<&'static str> {
    let [letter] = name else { return None };
    Some(match letter.to_ascii_lowercase() {
        b'a' => "Accept-Contact",
        b'b' => "Referred-By",
        b'c' => "Content-Type",
        b'd' => "Request-Disposition",
        b'e' => "Content-Encoding",
        b'f' => "From",
        b'i' => "Call-ID",
        b'j' => "Reject-Contact",
        b'k' => "Supported",
        b'l' => "Content-Length",
        b'm' => "Contact",
        b'o' => "Event",
        b'r' => "Refer-To",
        b's' => "Subject",
        b't' => "To",
        b'u' => "Allow-Events",
        b'v' => "Via",
        b'x' => "Session-Expires",
        _ => return None,
    })
}
