//! STUN messages, read in place and built into the caller's buffer.   RFC 8489.

/// The local user name fragment of a binding request's USERNAME, before anything is authenticated.
///
/// A shared socket uses it to find the endpoint whose agent then judges the message. Returns None for anything but a
/// well-formed binding request with a USERNAME of the form `local:remote`.   RFC 8445 section 7.2.2.
#[must_use]
pub fn local_ufrag(data: &[u8]) -> Option<&str> {
    let _ = data;
    todo!()
}
