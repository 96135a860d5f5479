//! Splits SQL into its statements: what Postgres's own lexer would do, as far as semicolons go.

/// One statement of a file, without its semicolon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Statement<'a> {
    /// Its text, with comments inside it but not those before it.
    pub(super) text: &'a str,
    /// Where the text begins in the file, in bytes.
    pub(super) start: usize,
    /// The line on which it begins, from 1.
    pub(super) line: usize,
}

impl Statement<'_> {
    /// Whether the statement begins or ends a transaction, which is the runner's business.
    pub(super) fn is_transaction_control(&self) -> bool {
        matches!(
            self.first_word().as_str(),
            "begin" | "start" | "commit" | "end"
        )
    }

    fn first_word(&self) -> String {
        self.text
            .chars()
            .take_while(|character| is_word(*character))
            .collect::<String>()
            .to_ascii_lowercase()
    }
}

/// The statements of `sql`.
pub(super) fn split(sql: &str) -> Vec<Statement<'_>> {
    let mut scanner = Scanner {
        sql,
        at: 0,
        begin: None,
        words: Vec::new(),
        parentheses: 0,
        blocks: 0,
        statements: Vec::new(),
    };
    scanner.scan();
    scanner.statements
}

/// `sql` with spaces in place of `begin` and `commit`, so that positions stay what they were. A
/// `rollback` cannot be left out without changing what the file means: its line and a message.
pub(super) fn without_transaction_control(
    sql: &str,
    statements: &[Statement<'_>],
) -> Result<String, (usize, String)> {
    let mut prepared = sql.to_owned();
    for statement in statements {
        if matches!(statement.first_word().as_str(), "rollback" | "abort") {
            let problem = "a migration is one transaction and cannot end it itself".to_owned();
            return Err((statement.line, problem));
        }
        if statement.is_transaction_control() {
            let range = statement.start..statement.start + statement.text.len();
            // As many characters as before, though they may be fewer bytes.
            let spaces: String = statement.text.chars().map(|_| ' ').collect();
            let bytes = spaces.len();
            prepared.replace_range(range.clone(), &spaces);
            if bytes != range.len() {
                // Only a comment within `commit` could hold such characters.
                return Err((
                    statement.line,
                    "only plain characters can stand here".to_owned(),
                ));
            }
        }
    }
    Ok(prepared)
}

/// Line and column, from 1, of the character number `position`, from 1.
pub(super) fn line_and_column(sql: &str, position: usize) -> (usize, usize) {
    let (mut line, mut column) = (1, 1);
    for character in sql.chars().take(position.saturating_sub(1)) {
        if character == '\n' {
            line += 1;
            column = 1;
        } else {
            column += 1;
        }
    }
    (line, column)
}

struct Scanner<'a> {
    sql: &'a str,
    at: usize,
    /// Where the present statement began.
    begin: Option<usize>,
    /// The first words of the present statement, in lower case.
    words: Vec<String>,
    parentheses: usize,
    /// Open `begin atomic … end` and `case … end` in the body of a function.
    blocks: usize,
    statements: Vec<Statement<'a>>,
}

impl Scanner<'_> {
    fn scan(&mut self) {
        while let Some(character) = self.peek() {
            match character {
                '-' if self.rest().starts_with("--") => self.skip_line(),
                '/' if self.rest().starts_with("/*") => self.skip_block_comment(),
                ';' if self.parentheses == 0 && self.blocks == 0 => {
                    self.end_statement();
                    self.at += 1;
                }
                character if character.is_whitespace() => self.at += character.len_utf8(),
                character => {
                    self.begin.get_or_insert(self.at);
                    self.token(character);
                }
            }
        }
        self.end_statement();
    }

    fn token(&mut self, character: char) {
        match character {
            '\'' => self.skip_quoted('\'', false),
            '"' => self.skip_quoted('"', false),
            '$' => self.skip_dollar_quoted(),
            '(' => {
                self.parentheses += 1;
                self.at += 1;
            }
            ')' => {
                self.parentheses = self.parentheses.saturating_sub(1);
                self.at += 1;
            }
            character if is_word(character) => self.word(),
            character => self.at += character.len_utf8(),
        }
    }

    fn word(&mut self) {
        let length = self
            .rest()
            .find(|character| !is_word(character) && character != '$')
            .unwrap_or(self.rest().len());
        let word = self.rest()[..length].to_ascii_lowercase();
        self.at += length;

        // E'…' knows backslashes; every other kind of string knows none.
        if word == "e" && self.peek() == Some('\'') {
            self.skip_quoted('\'', true);
            return;
        }
        if self.in_function() {
            match word.as_str() {
                "begin" => self.blocks += 1,
                "case" if self.blocks > 0 => self.blocks += 1,
                "end" => self.blocks = self.blocks.saturating_sub(1),
                _ => {}
            }
        }
        if self.words.len() < 4 {
            self.words.push(word);
        }
    }

    /// Whether the statement is one whose body may hold semicolons without quotes.
    fn in_function(&self) -> bool {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        matches!(
            words.as_slice(),
            ["create", "function" | "procedure", ..]
                | ["create", "or", "replace", "function" | "procedure"]
        )
    }

    fn skip_quoted(&mut self, quote: char, backslashes: bool) {
        self.at += 1;
        while let Some(character) = self.peek() {
            self.at += character.len_utf8();
            if character == '\\' && backslashes {
                self.at += self.peek().map_or(0, char::len_utf8);
            } else if character == quote {
                // A doubled quote is one of the text; the second opens what the first closed.
                if self.peek() != Some(quote) {
                    return;
                }
                self.at += 1;
            }
        }
    }

    fn skip_dollar_quoted(&mut self) {
        let after = &self.rest()[1..];
        let tag_length = after
            .find(|character| !is_word(character))
            .unwrap_or(after.len());
        let tag = &after[..tag_length];
        let starts_with_digit = tag.starts_with(|character: char| character.is_ascii_digit());
        if !after[tag_length..].starts_with('$') || starts_with_digit {
            // A parameter such as $1.
            self.at += 1;
            return;
        }
        let delimiter = format!("${tag}$");
        let body = self.at + delimiter.len();
        self.at = self.sql[body..]
            .find(&delimiter)
            .map_or(self.sql.len(), |end| body + end + delimiter.len());
    }

    fn skip_line(&mut self) {
        self.at += self.rest().find('\n').unwrap_or(self.rest().len());
    }

    /// Block comments nest in Postgres.
    fn skip_block_comment(&mut self) {
        let mut depth = 0;
        while !self.rest().is_empty() {
            if self.rest().starts_with("/*") {
                depth += 1;
                self.at += 2;
            } else if self.rest().starts_with("*/") {
                depth -= 1;
                self.at += 2;
                if depth == 0 {
                    return;
                }
            } else {
                self.at += self.peek().map_or(1, char::len_utf8);
            }
        }
    }

    fn end_statement(&mut self) {
        self.words.clear();
        self.parentheses = 0;
        self.blocks = 0;
        let Some(start) = self.begin.take() else {
            return;
        };
        self.statements.push(Statement {
            text: self.sql[start..self.at].trim_end(),
            start,
            line: 1 + self.sql[..start].matches('\n').count(),
        });
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn rest(&self) -> &str {
        &self.sql[self.at..]
    }
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semicolons_end_statements_only_where_postgres_sees_them() {
        let cases: [(&str, &[&str]); 15] = [
            ("", &[]),
            ("-- only a comment; really\n/* ; */", &[]),
            ("select 1; select 2", &["select 1", "select 2"]),
            ("select 1;;\n;select 2;", &["select 1", "select 2"]),
            ("select ';''; ' ; select 2", &["select ';''; '", "select 2"]),
            ("select \"a;\"\"b\"; x", &["select \"a;\"\"b\"", "x"]),
            (r"select E'a\';b'; x", &[r"select E'a\';b'", "x"]),
            (r"select 'a\'; x", &[r"select 'a\'", "x"]),
            ("do $$ begin; end $$; x", &["do $$ begin; end $$", "x"]),
            (
                "do $a$ select $$;$$; $a$; x",
                &["do $a$ select $$;$$; $a$", "x"],
            ),
            (
                "prepare p as select $1; x",
                &["prepare p as select $1", "x"],
            ),
            ("select a$b$c; x$b$", &["select a$b$c", "x$b$"]),
            (
                "/* a /* ; */ ; */ x /* ; */; y -- ;",
                &["x /* ; */", "y -- ;"],
            ),
            (
                "create or replace function f() returns int begin atomic select case when true then 1 end; select 2; end; x",
                &[
                    "create or replace function f() returns int begin atomic select case when true then 1 end; select 2; end",
                    "x",
                ],
            ),
            (
                "create rule r as on insert to t do (select 1; select 2); x",
                &[
                    "create rule r as on insert to t do (select 1; select 2)",
                    "x",
                ],
            ),
        ];
        for (sql, expected) in cases {
            let texts: Vec<&str> = split(sql).iter().map(|statement| statement.text).collect();
            assert_eq!(texts, expected, "{sql}");
        }
    }

    #[test]
    fn the_end_of_a_file_ends_what_is_open() {
        for sql in [
            "select 'a;",
            "select $$ ;",
            "select \"a;",
            "/* ;",
            "select E'\\",
        ] {
            assert!(split(sql).len() <= 1, "{sql}");
        }
    }

    #[test]
    fn a_statement_knows_its_line() {
        let statements = split("-- first\n\nselect 1;\n/* x\n*/ select 'ü\n';\nselect 3");
        let lines: Vec<usize> = statements.iter().map(|statement| statement.line).collect();
        assert_eq!(lines, [3, 5, 7]);
    }

    #[test]
    fn the_files_own_transaction_gives_way_to_the_runners() {
        let sql = "begin;\nselect 1;\nCOMMIT ;";
        let prepared = without_transaction_control(sql, &split(sql)).unwrap();
        assert_eq!(prepared, "     ;\nselect 1;\n       ;");

        let sql = "select 1;\nrollback;";
        let (line, _) = without_transaction_control(sql, &split(sql)).unwrap_err();
        assert_eq!(line, 2);
    }

    #[test]
    fn positions_count_characters() {
        assert_eq!(line_and_column("ab\nüc", 1), (1, 1));
        assert_eq!(line_and_column("ab\nüc", 5), (2, 2));
    }
}
