//! A process that is killed, whenever it is, loses no more than the steps since its last checkpoint.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use parrot_train::trainer::Stage;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::tiny::{TestRun, samples, stage};

/// Tells the child where to train.
const FOLDER: &str = "PARROT_TRAIN_TEST_FOLDER";

/// At random moments: while the process starts, reads its checkpoint, between and after steps, while a checkpoint is
/// written, while old ones go.
const KILLS: usize = 20;

/// Enough of them for all the kills.
const STEPS: usize = 128;

fn long_stage() -> Stage {
    Stage { steps: STEPS, save_every: 2, threads: 2, ..stage() }
}

/// Not a test by itself: what the other one runs as a process, to be killed.
#[test]
#[ignore = "run by a_killed_run_goes_on_from_its_last_checkpoint"]
fn child() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let run = TestRun::at(PathBuf::from(folder));
    run.train_with(&long_stage(), samples(), |step, _| println!("step {step}")).unwrap();
}

fn child_command(run: &TestRun) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "killed::child", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env(FOLDER, &run.folder);
    command
}

/// Runs the child and kills it a moment after it has done this many steps; returns the steps that it told, and how it
/// ended.
fn train_and_kill(run: &TestRun, after_steps: usize, moment: Duration) -> (Vec<usize>, ExitStatus) {
    let mut child = child_command(run).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut steps = lines.map_while(Result::ok).filter_map(|line| {
        // The harness leaves the name of the test in front of the first line.
        line.rsplit_once("step ")?.1.parse::<usize>().ok()
    });
    let mut told: Vec<usize> = steps.by_ref().take(after_steps).collect();
    std::thread::sleep(moment);
    // The child may have ended by itself.
    let _ = child.kill();
    let status = child.wait().unwrap();
    told.extend(steps);
    (told, status)
}

#[test]
#[cfg(unix)]
fn a_killed_run_goes_on_from_its_last_checkpoint() {
    use std::os::unix::process::ExitStatusExt;

    const SIGKILL: i32 = 9;
    let straight = TestRun::new();
    straight.train(&long_stage()).unwrap();

    let run = TestRun::new();
    let mut rng = StdRng::seed_from_u64(5);
    let (mut reached, mut before_a_step) = (0, 0);
    for kill in 0..KILLS {
        // Every tenth at once, every other tenth while it starts.
        let (after_steps, longest) = match kill % 10 {
            0 => (0, 1),
            5 => (0, 200_000),
            _ => (rng.random_range(1..4), 20_000),
        };
        let moment = Duration::from_micros(rng.random_range(0..longest));
        let (told, status) = train_and_kill(&run, after_steps, moment);
        assert_eq!(status.signal(), Some(SIGKILL), "kill {kill} after step {reached}: {status}");
        let Some((first, last)) = told.first().zip(told.last()) else {
            before_a_step += 1;
            continue;
        };
        // A step is told before it is saved.
        let saved = (reached.max(1) - 1) / 2 * 2;
        assert!(*first > saved, "started with step {first} although {saved} steps were saved");
        assert!(*first <= reached + 1, "skipped the steps between {reached} and {first}");
        reached = *last;
    }
    assert!(before_a_step > 0, "no process was killed while it started");
    let (told, status) = train_and_kill(&run, usize::MAX, Duration::ZERO);
    assert!(status.success() && told.last() == Some(&STEPS), "{status}: {told:?}");
    assert!(straight.bits(STEPS) == run.bits(STEPS));
    assert_eq!(run.names(), straight.names(), "nothing half-written is left");
}

/// Stands for a full disk: from the middle of a checkpoint on, every write fails.
#[test]
#[cfg(unix)]
fn a_checkpoint_that_cannot_be_written_leaves_the_one_before() {
    let run = TestRun::new();
    let stop_at_four = |step, _: &_| run.stop.store(step == 4, Ordering::Relaxed);
    run.train_with(&long_stage(), samples(), stop_at_four).unwrap();
    let before = run.bits(4);

    let child = child_command(&run);
    // Ignored, the signal of a file that grows too large becomes an error of the write.
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\""]);
    limited.arg(child.get_program()).args(child.get_args());
    let output = limited.env(FOLDER, &run.folder).output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("File too large") || said.contains("cannot write"), "{said}");
    assert!(run.bits(4) == before);
    assert_eq!(run.names(), ["step-000002", "step-000004"]);

    let straight = TestRun::new();
    straight.train(&long_stage()).unwrap();
    let (told, _) = train_and_kill(&run, usize::MAX, Duration::ZERO);
    assert_eq!(told.first(), Some(&5));
    assert!(straight.bits(STEPS) == run.bits(STEPS));
}
