//! Was the machine at fault? A thread wakes every 10 ms and notes how late it was woken at worst.
//!
//! Tests in real time share their processors with whatever else runs there. One that fails while the machine stood still
//! is worth repeating; one that fails on an attentive machine is not.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{now, sleep_until};

const PERIOD: Duration = Duration::from_millis(10);
/// Wake-ups later than this excuse a failure.
const WORTH_NOTING: Duration = Duration::from_millis(25);
const RUNS: u32 = 4;

/// Runs a test that lives in real time, again if it failed while the machine stood still.
#[expect(clippy::print_stderr, reason = "a run that did not count is told")]
pub(crate) fn in_real_time(test: impl Fn()) {
    for run in 1.. {
        let witness = Witness::start();
        let result = catch_unwind(AssertUnwindSafe(&test));
        let worst = witness.worst();
        match result {
            Ok(()) => return,
            Err(_) if run < RUNS && worst > WORTH_NOTING => {
                eprintln!("run {run} failed while the machine stood still for {worst:?}");
            }
            Err(panic) => resume_unwind(panic),
        }
    }
}

struct Witness {
    thread: JoinHandle<Duration>,
    is_over: Arc<AtomicBool>,
}

impl Witness {
    #[expect(clippy::disallowed_methods, reason = "it watches beside the test")]
    fn start() -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&is_over);
        let thread = std::thread::spawn(move || {
            let mut worst = Duration::ZERO;
            while !seen.load(Ordering::Relaxed) {
                let due = now() + PERIOD;
                sleep_until(due);
                worst = worst.max(now() - due);
            }
            worst
        });
        Self { thread, is_over }
    }

    /// Ends the watch. Returns how late the latest wake-up was.
    fn worst(self) -> Duration {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}
