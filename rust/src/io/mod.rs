//! Sockets, readiness and ports: the only place that talks to the kernel.
//!
//! Owns file descriptors, batches of datagrams and the range of RTP ports. Knows bytes and addresses only: what a
//! datagram means is decided in `endpoint`. All `unsafe` of the packet path lives here, each block with its reason.

#![expect(unsafe_code, reason = "epoll, eventfd, recvmmsg and sendmmsg have no safe wrapper in the standard library")]

mod address;
mod affinity;
mod interfaces;
mod limit;
mod poller;
mod ports;
mod receive;
mod send;
mod udp;
mod wake;

pub use affinity::pin_thread;
pub use interfaces::local_addresses;
pub use limit::{is_out_of_descriptors, raise_descriptor_limit};
pub use poller::{Poller, Readiness};
pub use ports::{PortAllocator, RtpSockets};
pub use receive::{ReceiveBatch, Received};
pub use send::{SendBatch, SendOutcome};
pub use udp::{Granted, SocketOptions, UdpSocket};
pub use wake::Wake;
