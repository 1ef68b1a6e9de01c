//! Threads that stay awake between two pieces of work.

use std::any::Any;
use std::cell::UnsafeCell;
use std::hint::spin_loop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// How long a thread looks out for more work: most of what one thread computes alone between two products takes less.
const AWAKE: Duration = Duration::from_millis(1);
/// How often it does so before it looks at the clock.
const LOOKS: usize = 64;

/// Bits of a state: how many threads have come, whether no more may, and which piece of work it is.
const COMERS: u64 = (1 << 31) - 1;
const CLOSED: u64 = 1 << 31;
const NEXT_WORK: u64 = 1 << 32;

type Work<'a> = &'a (dyn Fn() + Sync + 'a);

/// All threads but the one that asks.
struct Team {
    /// Held by who asks, so that there is one piece of work at a time.
    asking: Mutex<()>,
    state: AtomicU64,
    /// How many may come.
    wanted: AtomicUsize,
    /// How many of those that have come are done.
    done: AtomicUsize,
    /// What the first of them panicked with.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    /// What to do. Written by who asks while nobody is at work, read by those who have come.
    work: UnsafeCell<Option<Work<'static>>>,
    members: OnceLock<Vec<Member>>,
}

// SAFETY: `work` is written by the one thread that holds `asking`, and only while the state is closed and all who came are
// done; and whoever reads it has come before the state was closed.
#[allow(unsafe_code)]
unsafe impl Sync for Team {}

struct Member {
    thread: Thread,
    is_asleep: &'static AtomicBool,
}

static TEAM: Team = Team {
    asking: Mutex::new(()),
    state: AtomicU64::new(CLOSED),
    wanted: AtomicUsize::new(0),
    done: AtomicUsize::new(0),
    panic: Mutex::new(None),
    work: UnsafeCell::new(None),
    members: OnceLock::new(),
};

/// Does `work` on this thread and on at most so many others, those that come in time. `false` if they are at work for somebody
/// else, or there is none.
///
/// # Panics
///
/// If it panics on one of them.
pub(super) fn together(others: usize, work: Work<'_>) -> bool {
    // Who panicked while asking has left the team closed and done.
    let _asking = match TEAM.asking.try_lock() {
        Ok(asking) => asking,
        Err(TryLockError::Poisoned(asking)) => asking.into_inner(),
        Err(TryLockError::WouldBlock) => return false,
    };
    let members = TEAM.members();
    let others = others.min(members.len());
    if others == 0 {
        return false;
    }
    TEAM.open(others, work);
    members[..others].iter().for_each(Member::wake);
    // Also if this thread's part panics: others may still be reading `work`.
    let close = Close;
    work();
    drop(close);
    if let Some(panic) = TEAM.panic().take() {
        resume_unwind(panic);
    }
    true
}

struct Close;

impl Drop for Close {
    fn drop(&mut self) {
        let came = TEAM.state.fetch_or(CLOSED, Ordering::AcqRel) & COMERS;
        let mut looks = 0;
        while (TEAM.done.load(Ordering::Acquire) as u64) < came {
            looks += 1;
            if looks % LOOKS == 0 { thread::yield_now() } else { spin_loop() }
        }
    }
}

impl Team {
    /// Those that could be started, when they are first asked for.
    fn members(&'static self) -> &'static [Member] {
        self.members.get_or_init(|| {
            let member = |at| {
                let is_asleep: &'static AtomicBool = Box::leak(Box::new(AtomicBool::new(false)));
                let work = move || self.work_for_ever(is_asleep);
                let handle = thread::Builder::new().name(format!("parrot-cpu-{at}")).spawn(work).ok()?;
                Some(Member { thread: handle.thread().clone(), is_asleep })
            };
            (1..rayon::current_num_threads()).map_while(member).collect()
        })
    }

    fn panic(&self) -> MutexGuard<'_, Option<Box<dyn Any + Send>>> {
        self.panic.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, others: usize, work: Work<'_>) {
        // SAFETY: the lifetime ends with `together`, which does not return before all who came are done. Nobody is at work now.
        #[allow(unsafe_code)]
        unsafe {
            *self.work.get() = Some(std::mem::transmute::<Work<'_>, Work<'static>>(work));
        }
        // Of work that panicked on the thread that asked as well.
        *self.panic() = None;
        self.wanted.store(others, Ordering::Relaxed);
        self.done.store(0, Ordering::Relaxed);
        let which = self.state.load(Ordering::Relaxed) & !(NEXT_WORK - 1);
        self.state.store(which.wrapping_add(NEXT_WORK), Ordering::SeqCst);
    }

    /// Joins in the work that is open, if there is room.
    fn come(&self) -> Option<Work<'static>> {
        let may_come = |state: u64| {
            let is_open = state & CLOSED == 0 && state & COMERS < self.wanted.load(Ordering::Relaxed) as u64;
            is_open.then_some(state + 1)
        };
        self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, may_come).ok()?;
        // SAFETY: it has come before the work was closed.
        #[allow(unsafe_code)]
        unsafe {
            *self.work.get()
        }
    }

    fn work_for_ever(&self, is_asleep: &AtomicBool) {
        let mut seen = 0;
        let mut last = Instant::now();
        let mut looks = 0;
        loop {
            let which = self.state.load(Ordering::SeqCst) / NEXT_WORK;
            if which != seen {
                seen = which;
                if let Some(work) = self.come() {
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
                        self.panic().get_or_insert(panic);
                    }
                    self.done.fetch_add(1, Ordering::Release);
                }
                last = Instant::now();
                continue;
            }
            looks += 1;
            if looks % LOOKS != 0 {
                spin_loop();
            } else if last.elapsed() < AWAKE {
                thread::yield_now();
            } else {
                is_asleep.store(true, Ordering::SeqCst);
                // Work that was opened before this was stored wakes nobody.
                if self.state.load(Ordering::SeqCst) / NEXT_WORK == seen {
                    thread::park();
                }
                is_asleep.store(false, Ordering::SeqCst);
                last = Instant::now();
            }
        }
    }
}

impl Member {
    fn wake(&self) {
        if self.is_asleep.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
    }
}
