//! Was the machine at fault? On each core a thread wakes every 5 ms and notes how late it was woken at worst, and the
//! kernel counts what a hypervisor took away.
//!
//! Tests in real time share their processors with whatever else runs there. One that fails while the machine stood still
//! is run again, without another of them beside it; one that fails on an attentive machine is not.
//!
//! This hides no defect that is there. An excuse never makes a run good: it asks for another one, which has to show
//! everything that the test wants to be shown. What is always wrong fails in every run, and the last one counts whatever
//! the machine did. What is wrong now and then fails on a quiet machine, where nothing is run again.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{cores, now, sleep_until};

const PERIOD: Duration = Duration::from_millis(5);
/// What excuses a failure: half of the packet time that tests keep.
const WORTH_NOTING: Duration = Duration::from_millis(10);
const RUNS: u32 = 6;
/// What is busy now may be less so a moment later: so long for each run that did not count.
const REST: Duration = Duration::from_millis(500);

/// Tests in real time run beside each other (a share of it), but for those that are run again.
static MACHINE: RwLock<()> = RwLock::new(());

/// Runs a test that lives in real time, again if it failed while the machine stood still.
#[expect(clippy::print_stderr, reason = "a run that did not count is told")]
pub(crate) fn in_real_time(test: impl Fn()) {
    for run in 1.. {
        let (result, standstill) = if run == 1 {
            let _beside = MACHINE.read().unwrap();
            watched(&test)
        } else {
            let _alone = MACHINE.write().unwrap();
            sleep_until(now() + REST * (run - 1));
            watched(&test)
        };
        match result {
            Ok(()) => return,
            Err(_) if run < RUNS && standstill >= WORTH_NOTING => {
                eprintln!("run {run} failed while the machine stood still for {standstill:?}");
            }
            Err(panic) => resume_unwind(panic),
        }
    }
}

/// How a test ended, and for how long the machine stood still meanwhile.
fn watched(test: impl Fn()) -> (std::thread::Result<()>, Duration) {
    let witness = Witness::start();
    let result = catch_unwind(AssertUnwindSafe(test));
    (result, witness.standstill())
}

struct Witness {
    threads: Vec<JoinHandle<Duration>>,
    is_over: Arc<AtomicBool>,
    stolen_before: Duration,
}

impl Witness {
    #[expect(clippy::disallowed_methods, reason = "it watches beside the test")]
    fn start() -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let watch = |core| {
            let is_over = Arc::clone(&is_over);
            std::thread::spawn(move || {
                cores::stay_on(core);
                worst_wake_up(&is_over)
            })
        };
        let threads = cores::allowed().into_iter().map(watch).collect();
        Self { threads, is_over, stolen_before: cores::stolen() }
    }

    /// Ends the watch. Returns how late the latest wake-up on any core was, or how much was stolen, whichever is longer.
    fn standstill(self) -> Duration {
        self.is_over.store(true, Ordering::Relaxed);
        let worst = self.threads.into_iter().map(|thread| thread.join().unwrap()).max();
        worst.unwrap_or_default().max(cores::stolen().saturating_sub(self.stolen_before))
    }
}

fn worst_wake_up(is_over: &AtomicBool) -> Duration {
    let mut worst = Duration::ZERO;
    while !is_over.load(Ordering::Relaxed) {
        let due = now() + PERIOD;
        sleep_until(due);
        worst = worst.max(now() - due);
    }
    worst
}
