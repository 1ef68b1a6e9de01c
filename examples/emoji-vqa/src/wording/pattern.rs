//! Unfolds `what( is|'s) this` into all its readings.

/// All readings of a pattern; spaces that an empty alternative leaves over are dropped.
pub(super) fn readings(pattern: &str) -> Vec<String> {
    let mut texts = vec![String::new()];
    let mut rest = pattern;
    while let Some(open) = rest.find('(') {
        let close = matching(rest, open);
        let head = &rest[..open];
        let inner: Vec<String> =
            alternatives(&rest[open + 1..close]).into_iter().flat_map(readings_untidy).collect();
        texts = texts
            .iter()
            .flat_map(|text| inner.iter().map(move |choice| format!("{text}{head}{choice}")))
            .collect();
        rest = &rest[close + 1..];
    }
    let tidy =
        |text: String| (text + rest).split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    texts.into_iter().map(tidy).collect()
}

/// The readings of what stands inside parentheses, where a space at an end counts.
fn readings_untidy(pattern: &str) -> Vec<String> {
    if !pattern.contains('(') {
        return vec![pattern.to_owned()];
    }
    let kept = |end: bool| if end { " " } else { "" };
    let (before, after) = (kept(pattern.starts_with(' ')), kept(pattern.ends_with(' ')));
    readings(pattern).into_iter().map(|text| format!("{before}{text}{after}")).collect()
}

/// Where the parenthesis at `open` is closed.
fn matching(pattern: &str, open: usize) -> usize {
    let mut depth = 0;
    for (at, letter) in pattern.char_indices().skip_while(|(at, _)| *at < open) {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    panic!("a parenthesis of “{pattern}” is not closed")
}

/// What `|` separates outside inner parentheses.
fn alternatives(inside: &str) -> Vec<&str> {
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (at, letter) in inside.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            '|' if depth == 0 => {
                found.push(&inside[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    found.push(&inside[start..]);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_stands_for_all_its_readings() {
        assert_eq!(
            readings("what( is|'s) (the |)colo(|u)r"),
            [
                "what is the color",
                "what is the colour",
                "what is color",
                "what is colour",
                "what's the color",
                "what's the colour",
                "what's color",
                "what's colour",
            ]
        );
        assert_eq!(readings("a (b(c|d)|) e"), ["a bc e", "a bd e", "a e"]);
    }
}
