//! Path patterns of behaviours and the wildcards of policies: `*` is any text, `?` any one character.

/// Whether all of a text matches a pattern. Case counts.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut seen) = (0, 0);
    // Where the last `*` was, and how much of the text it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    while seen < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(&wanted) if wanted == '?' || wanted == text[seen] => {
                at += 1;
                seen += 1;
            }
            _ => {
                let Some((place, taken)) = star else {
                    return false;
                };
                star = Some((place, taken + 1));
                at = place + 1;
                seen = taken + 1;
            }
        }
    }
    pattern[at..].iter().all(|&rest| rest == '*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_is_any_text_and_a_question_mark_one_character() {
        for (pattern, text, expected) in [
            ("/_nuxt/*", "/_nuxt/app.js", true),
            ("/_nuxt/*", "/_nuxt/", true),
            ("/_nuxt/*", "/_nuxt", false),
            ("/_nuxt/*", "/_NUXT/app.js", false),
            ("/api/*", "/apis/x", false),
            ("/favicon.ico", "/favicon.ico", true),
            ("/favicon.ico", "/favicon.icon", false),
            ("/a?c", "/abc", true),
            ("/a?c", "/ac", false),
            ("*.jpg", "/images/cat.jpg", true),
            ("*a*b", "xaxxbab", true),
            ("*a*b", "xaxxba", false),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
