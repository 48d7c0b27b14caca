//! What a host types.

/// A line that was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Typed {
    Nothing,
    Say(String),
    Gift { name: String, count: u32 },
    Like(u32),
    End,
    Start,
    Quit,
}

impl Typed {
    /// Understands a line, or says how it should be.
    pub(super) fn parse(line: &str) -> Result<Self, &'static str> {
        let line = line.trim();
        let Some(command) = line.strip_prefix('/') else {
            return Ok(match line {
                "" => Self::Nothing,
                text => Self::Say(text.to_owned()),
            });
        };
        if command.starts_with('/') {
            return Ok(Self::Say(command.to_owned()));
        }
        let words: Vec<&str> = command.split_whitespace().collect();
        match words[..] {
            ["gift", name] => Ok(Self::Gift {
                name: name.to_owned(),
                count: 1,
            }),
            ["gift", name, count] => Ok(Self::Gift {
                name: name.to_owned(),
                count: number(count).ok_or("/gift NAME N: N is a number from 1 on")?,
            }),
            ["gift", ..] => Err("/gift NAME N"),
            ["like"] => Ok(Self::Like(1)),
            ["like", count] => number(count)
                .map(Self::Like)
                .ok_or("/like N: N is a number from 1 on"),
            ["like", ..] => Err("/like N"),
            ["end"] => Ok(Self::End),
            ["start"] => Ok(Self::Start),
            ["quit"] => Ok(Self::Quit),
            _ => Err("/gift NAME N, /like N, /end, /start, /quit; // to say a slash"),
        }
    }
}

fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|n| *n > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_said_and_commands_are_understood() {
        let gift = |name: &str, count| Typed::Gift {
            name: name.to_owned(),
            count,
        };
        let cases = [
            ("", Typed::Nothing),
            ("  hello there ", Typed::Say("hello there".to_owned())),
            ("//shrug", Typed::Say("/shrug".to_owned())),
            ("/gift rose", gift("rose", 1)),
            ("/gift rose 3", gift("rose", 3)),
            ("/like", Typed::Like(1)),
            ("/like 20", Typed::Like(20)),
            ("/end", Typed::End),
            ("/start", Typed::Start),
            ("/quit", Typed::Quit),
        ];
        for (line, expected) in cases {
            assert_eq!(Typed::parse(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn what_is_not_understood_says_how_it_should_be() {
        for line in [
            "/",
            "/gift",
            "/gift rose many",
            "/like 0",
            "/like 1 2",
            "/dance",
        ] {
            assert!(Typed::parse(line).unwrap_err().contains('/'), "{line}");
        }
    }
}
