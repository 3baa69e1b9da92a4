//! Go's flags: `-flag value`, `-flag=value`, `--flag value` and `--flag=value` are the same, a value may begin with a dash, and `-switch=false`
//! is a way to say no. Everything is rewritten to `--flag=value` for `clap`.
//!
//! Rule: <https://pkg.go.dev/flag#hdr-Command_line_flag_syntax>.

use std::collections::HashMap;
use std::ffi::OsString;

use clap::Command;

/// Rewrites `args` (the program's name first) for `command`, which is built.
pub(super) fn normalise(args: impl IntoIterator<Item = OsString>, command: &Command) -> Vec<OsString> {
    let takes_value = known_flags(command);
    let mut args = args.into_iter();
    let mut out: Vec<OsString> = args.next().into_iter().collect();
    while let Some(arg) = args.next() {
        let Some(flag) = arg.to_str().and_then(flag_text) else {
            out.push(arg);
            continue;
        };
        let (name, attached) = flag.split_once('=').map_or((flag, None), |(name, value)| (name, Some(value)));
        let mut rewritten = OsString::from(format!("--{name}"));
        let value = match (takes_value.get(name), attached) {
            (_, Some(value)) => Some(value.into()),
            (Some(true), None) => args.next(),
            (Some(false) | None, None) => None,
        };
        // Nothing is the default of every flag, as in Go.
        if value.as_ref().is_some_and(|value| value.is_empty()) && takes_value.contains_key(name) {
            continue;
        }
        if let Some(value) = value {
            rewritten.push("=");
            rewritten.push(value);
        }
        out.push(rewritten);
    }
    out
}

/// `bucket=b` from `-bucket=b` or `--bucket=b`. One letter behind one dash is a short flag, which is `clap`'s own.
fn flag_text(arg: &str) -> Option<&str> {
    if let Some(long) = arg.strip_prefix("--") {
        return (!long.is_empty()).then_some(long);
    }
    arg.strip_prefix('-').filter(|text| text.chars().count() > 1)
}

/// Every long flag of the command and its subcommands, and whether a value follows it.
fn known_flags(command: &Command) -> HashMap<&str, bool> {
    let commands = std::iter::once(command).chain(command.get_subcommands());
    let flags = commands.flat_map(Command::get_arguments);
    flags
        .filter_map(|flag| {
            let optional = flag.get_num_args().is_some_and(|range| range.min_values() == 0);
            flag.get_long().map(|name| (name, flag.get_action().takes_values() && !optional))
        })
        .collect()
}

/// Go's words for yes and no.
pub(super) fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("write true or false".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn normalised(args: &[&str]) -> Vec<String> {
        let mut command = super::super::Cli::command();
        command.build();
        let args = std::iter::once("x").chain(args.iter().copied()).map(OsString::from);
        normalise(args, &command).into_iter().skip(1).map(|arg| arg.into_string().unwrap()).collect()
    }

    #[test]
    fn all_of_gos_forms_are_one() {
        for form in [&["-bucket", "b"][..], &["-bucket=b"], &["--bucket", "b"], &["--bucket=b"]] {
            assert_eq!(normalised(form), ["--bucket=b"]);
        }
        assert_eq!(normalised(&["-secret-access-key", "-starts-with-a-dash"]), ["--secret-access-key=-starts-with-a-dash"]);
        assert_eq!(normalised(&["-endpoint", "a=b"]), ["--endpoint=a=b"]);
        assert_eq!(normalised(&["-bucket=", "-kubeconfig", "", "--scan-interval", "", "-buckte="]), ["--buckte="]);
    }

    #[test]
    fn switches_take_no_following_word() {
        assert_eq!(normalised(&["-log-debug", "check"]), ["--log-debug", "check"]);
        assert_eq!(normalised(&["-log-debug=false"]), ["--log-debug=false"]);
    }

    #[test]
    fn what_is_not_known_stays_for_clap_to_refuse() {
        assert_eq!(normalised(&["-h", "-buckte", "b", "--"]), ["-h", "--buckte", "b", "--"]);
        assert_eq!(normalised(&["-bucket"]), ["--bucket"]);
    }
}
