//! On which core a thread runs.

use std::io;
use std::mem;

/// Keeps the calling thread on one core: the one at place `nth`, counted round and round, among those that the process
/// may use. Returns the core's number.
pub fn pin_thread(nth: usize) -> io::Result<usize> {
    let size = size_of::<libc::cpu_set_t>();
    // SAFETY: all-zero bytes are an empty set.
    let mut allowed = unsafe { mem::zeroed::<libc::cpu_set_t>() };
    // SAFETY: the pointer and the size describe a local that the kernel fills; 0 is the calling thread.
    if unsafe { libc::sched_getaffinity(0, size, &raw mut allowed) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the numbers are below the size of the set.
    let cores = || (0..8 * size).filter(|core| unsafe { libc::CPU_ISSET(*core, &allowed) });
    let core = cores().cycle().nth(nth % cores().count().max(1)).ok_or(io::ErrorKind::NotFound)?;
    // SAFETY: as above.
    let mut chosen = unsafe { mem::zeroed::<libc::cpu_set_t>() };
    // SAFETY: the number is one of `allowed`.
    unsafe { libc::CPU_SET(core, &mut chosen) };
    // SAFETY: the pointer and the size describe a local that the kernel reads.
    if unsafe { libc::sched_setaffinity(0, size, &raw const chosen) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(core)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cores that the calling thread may use, as the kernel lists them: `0-1,4`.
    fn allowed() -> String {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        line.unwrap().trim().to_owned()
    }

    #[test]
    fn a_pinned_thread_has_one_core_and_the_next_has_another() {
        let pinned = |nth| {
            #[expect(clippy::disallowed_methods, reason = "the test pins threads of its own")]
            let thread = std::thread::spawn(move || (pin_thread(nth).unwrap().to_string(), allowed()));
            thread.join().unwrap()
        };
        let before = allowed();
        let (first, second) = (pinned(0), pinned(1));
        assert_eq!(first.0, first.1);
        assert_eq!(second.0, second.1);
        assert!(first != second || !before.contains([',', '-']), "{first:?} of {before}");
        assert_eq!(allowed(), before, "others stay free");
    }
}
