//! Socket addresses, ours and the kernel's.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::ptr;

/// Bytes of a name buffer.
pub(super) const NAME_CAPACITY: libc::socklen_t = size_of_u32::<libc::sockaddr_storage>();

/// The size of a C structure as the kernel wants it.
pub(super) const fn size_of_u32<T>() -> u32 {
    assert!(size_of::<T>() <= 256);
    #[expect(clippy::cast_possible_truncation, reason = "asserted above, at compile time")]
    let size = size_of::<T>() as u32;
    size
}

/// The address in a name that the kernel wrote; None if it is no IP address. IPv4-mapped IPv6 is shown as IPv4.
pub(super) fn to_address(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match i32::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that the storage, which is large and aligned enough, holds a sockaddr_in.
            let v4 = unsafe { &*ptr::from_ref(name).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddr::V4(SocketAddrV4::new(ip, u16::from_be(v4.sin_port))))
        }
        libc::AF_INET6 => {
            // SAFETY: the family says that the storage, which is large and aligned enough, holds a sockaddr_in6.
            let v6 = unsafe { &*ptr::from_ref(name).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            let port = u16::from_be(v6.sin6_port);
            Some(match ip.to_ipv4_mapped() {
                Some(mapped) => SocketAddr::V4(SocketAddrV4::new(mapped, port)),
                // The flow label is the sender's business; the scope is needed to answer a link-local address.
                None => SocketAddr::V6(SocketAddrV6::new(ip, port, 0, v6.sin6_scope_id)),
            })
        }
        _ => None,
    }
}

/// Writes an address as the kernel reads it. Returns the length of the name.
pub(super) fn from_address(address: SocketAddr, name: &mut libc::sockaddr_storage) -> libc::socklen_t {
    match address {
        SocketAddr::V4(v4) => {
            // SAFETY: the storage is large and aligned enough for a sockaddr_in.
            let raw = unsafe { &mut *ptr::from_mut(name).cast::<libc::sockaddr_in>() };
            raw.sin_family = AF_INET;
            raw.sin_port = v4.port().to_be();
            raw.sin_addr.s_addr = u32::from(*v4.ip()).to_be();
            size_of_u32::<libc::sockaddr_in>()
        }
        SocketAddr::V6(v6) => {
            // SAFETY: the storage is large and aligned enough for a sockaddr_in6.
            let raw = unsafe { &mut *ptr::from_mut(name).cast::<libc::sockaddr_in6>() };
            raw.sin6_family = AF_INET6;
            raw.sin6_port = v6.port().to_be();
            raw.sin6_flowinfo = v6.flowinfo();
            raw.sin6_addr.s6_addr = v6.ip().octets();
            raw.sin6_scope_id = v6.scope_id();
            size_of_u32::<libc::sockaddr_in6>()
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the constant is 2")]
const AF_INET: libc::sa_family_t = libc::AF_INET as libc::sa_family_t;
#[expect(clippy::cast_possible_truncation, reason = "the constant is 10")]
const AF_INET6: libc::sa_family_t = libc::AF_INET6 as libc::sa_family_t;
