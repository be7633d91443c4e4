//! The processors' cores: which of them are ours, to stay on one, and what a hypervisor took of them.

#![expect(unsafe_code, reason = "the kernel is asked to keep a thread on a core")]

use std::time::Duration;

/// The cores that this process may run on.
pub(crate) fn allowed() -> Vec<usize> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
    let number = |text: &str| text.trim().parse::<usize>().unwrap();
    let range = |text: &str| {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        number(first)..=number(last)
    };
    list.split(',').flat_map(range).collect()
}

/// Keeps this thread on one core.
pub(crate) fn stay_on(core: usize) {
    // SAFETY: a set of cores is plain bits, and none set is a set. The kernel reads it while it lives, and 0 is the
    // calling thread. Numbers beyond the set's size are refused by an assertion in `CPU_SET`.
    let result = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

/// What a hypervisor gave to others while this machine had something to do, all cores together since it started. In
/// steps of 10 ms.
pub(crate) fn stolen() -> Duration {
    let all = std::fs::read_to_string("/proc/stat").unwrap();
    let ticks = all.lines().next().and_then(|line| line.split_whitespace().nth(8)).unwrap();
    Duration::from_millis(10 * ticks.parse::<u64>().unwrap())
}
