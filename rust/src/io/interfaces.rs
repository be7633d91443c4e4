//! The machine's own addresses, for a node that is bound to all of them and told nothing.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ptr;

/// Addresses of the interfaces that are up: IPv4 first, loopback last. Link-local IPv6 is left out, since it means
/// nothing without its interface.
pub fn local_addresses() -> io::Result<Vec<IpAddr>> {
    let mut list: *mut libc::ifaddrs = ptr::null_mut();
    // SAFETY: the kernel's library fills `list`, which is given back below.
    if unsafe { libc::getifaddrs(&raw mut list) } < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut addresses = Vec::new();
    let mut entry = list;
    while !entry.is_null() {
        // SAFETY: `entry` is a node of the list, which lives until `freeifaddrs`.
        let interface = unsafe { &*entry };
        if interface.ifa_flags & IFF_UP != 0 {
            addresses.extend(address(interface));
        }
        entry = interface.ifa_next;
    }
    // SAFETY: `list` came from `getifaddrs` and is not used afterwards.
    unsafe { libc::freeifaddrs(list) };
    addresses.sort_by_key(|ip: &IpAddr| (ip.is_loopback(), ip.is_ipv6()));
    Ok(addresses)
}

fn address(interface: &libc::ifaddrs) -> Option<IpAddr> {
    if interface.ifa_addr.is_null() {
        return None;
    }
    // SAFETY: checked above; every socket address begins with its family.
    let family = i32::from(unsafe { (*interface.ifa_addr).sa_family });
    match family {
        libc::AF_INET => {
            // SAFETY: the family says that this is a sockaddr_in; it is read whole, whatever its alignment.
            let v4 = unsafe { ptr::read_unaligned(interface.ifa_addr.cast::<libc::sockaddr_in>()) };
            Some(Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: the family says that this is a sockaddr_in6; it is read whole, whatever its alignment.
            let v6 = unsafe { ptr::read_unaligned(interface.ifa_addr.cast::<libc::sockaddr_in6>()) };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            (!ip.is_unicast_link_local()).then_some(ip.into())
        }
        _ => None,
    }
}

const IFF_UP: libc::c_uint = libc::IFF_UP.cast_unsigned();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_loopback_and_puts_it_last() {
        let addresses = local_addresses().unwrap();
        assert!(addresses.contains(&Ipv4Addr::LOCALHOST.into()));
        assert!(addresses.iter().map(IpAddr::is_loopback).is_sorted());
    }
}
