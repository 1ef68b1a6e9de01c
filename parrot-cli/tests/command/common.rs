//! Running `parrot` and looking at what comes out.

use assert_cmd::Command;

pub(crate) fn parrot(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_parrot"));
    command.args(args).env_remove("PARROT_MODEL").env_remove("RUST_LOG");
    // It has panics printed whole.
    command.env_remove("RUST_BACKTRACE");
    command
}

/// stdout of a command that succeeds, and its stderr.
pub(crate) fn output(mut command: Command) -> (String, String) {
    let output = command.output().unwrap();
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "{stderr}");
    (stdout, stderr)
}

/// The one line of stderr of a command that fails with exit code 1.
pub(crate) fn error(mut command: Command) -> String {
    let output = command.output().unwrap();
    let stderr = text(output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    let message = stderr.trim_end().strip_prefix("error: ");
    message.unwrap_or_else(|| panic!("{stderr}")).to_string()
}

pub(crate) fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}
