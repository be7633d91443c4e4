//! The text of SIP: messages and header values, from bytes to parts and back.
//!
//! Owns the grammar and its limits, and the header list of a message. Any bytes end in a value or in an `Error`; a value
//! borrows from the bytes it was read from. Must not know transactions, dialogs or what a message is for: that is
//! Python's, which holds these parts in types of its own. Texts are bytes here, since peers send what is not UTF-8.
//! RFC 3261 sections 7, 18.3, 19.1, 20 and 25.

mod address;
mod fields;
mod headers;
mod message;
mod names;
mod text;
mod uri;

pub use address::{NameAddr, Via};
pub use fields::{CSeq, MAX_CSEQ};
pub use headers::{Headers, Text};
pub use message::{
    MAX_HEADERS, MAX_LINE_BYTES, MAX_MESSAGE_BYTES, MAX_VIAS, Message, Start, Trouble, contacts, is_status, read,
};
pub use names::{HeaderId, Key};
pub use text::{Parameter, Parameters, is_token, list, number, split_outside, trim, unquote};
pub use uri::{OpaqueUri, SipUri, Uri};

/// Why a text cannot be read. Its words go to the peer, in the reason phrase of a 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What is wrong, where that says all.
    #[error("{0}")]
    Syntax(&'static str),
    /// A header that every message must have.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A header that must stand alone.
    #[error("more than one {0}")]
    Repeated(&'static str),
    /// A NUL in a header whose value goes into requests of ours.
    #[error("a NUL in {0}")]
    Nul(&'static str),
    /// Something before a parameter's `=` that is no token.
    #[error("not a parameter name: '{0}'")]
    ParameterName(String),
    /// What follows the `=` of this parameter.
    #[error("bad value of parameter {0}")]
    ParameterValue(String),
    /// A URI of this scheme.
    #[error("bad {0} URI")]
    OpaqueUri(String),
    /// A port that is 0 or above 65,535.
    #[error("not a port: {0}")]
    Port(String),
}
