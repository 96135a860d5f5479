//! CSV as RFC 4180 has it, of which a spreadsheet runs nothing.

use serde_json::{Map, Value};

/// Characters at whose sight a spreadsheet takes a cell for a formula, those of full width among them.
const FORMULA: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];

/// Writes the names of the columns.
pub(crate) fn head(columns: &[&str], out: &mut Vec<u8>) {
    out.extend_from_slice(columns.join(",").as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Writes a record: a column that it does not have, or that is null, is an empty cell.
pub(crate) fn row(columns: &[&str], record: &Map<String, Value>, out: &mut Vec<u8>) {
    for (at, column) in columns.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        match record.get(*column) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) if runs(text) => quoted(&format!("'{text}"), out),
            Some(Value::String(text)) => cell(text, out),
            // A list begins with a bracket, a number is none that anybody wrote: neither is a formula.
            Some(other) => cell(&other.to_string(), out),
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Whether a spreadsheet might run a text. Some pass over white space before they look; a tab and a line break are enough by themselves.
fn runs(text: &str) -> bool {
    let looked_at = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    text.starts_with(['\t', '\r', '\n']) || looked_at.starts_with(FORMULA)
}

fn cell(text: &str, out: &mut Vec<u8>) {
    // An empty text is told from no text.
    if text.is_empty() || text.contains(['"', ',', '\r', '\n']) {
        quoted(text, out);
    } else {
        out.extend_from_slice(text.as_bytes());
    }
}

fn quoted(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_value_is_the_cell_it_should_be() {
        let table = [
            (json!(null), ""),
            (json!(""), "\"\""),
            (json!("a cup"), "a cup"),
            (json!(" a cup "), " a cup "),
            (json!("日本 ☕"), "日本 ☕"),
            (json!("a, b"), "\"a, b\""),
            (json!("say \"hi\""), "\"say \"\"hi\"\"\""),
            (json!("two\nlines"), "\"two\nlines\""),
            (json!("two\r\nlines"), "\"two\r\nlines\""),
            (json!(true), "true"),
            (json!(7), "7"),
            (json!(-0.5), "-0.5"),
            (
                json!(["a", "b \"c\""]),
                "\"[\"\"a\"\",\"\"b \\\"\"c\\\"\"\"\"]\"",
            ),
            (json!(["=1"]), "\"[\"\"=1\"\"]\""),
            (json!({}), "{}"),
            (json!("1+1=2"), "1+1=2"),
            (json!("mail a@b.example"), "mail a@b.example"),
            (json!("=1+1"), "\"'=1+1\""),
            (
                json!("=HYPERLINK(\"x\",\"y\")"),
                "\"'=HYPERLINK(\"\"x\"\",\"\"y\"\")\"",
            ),
            (json!("+1"), "\"'+1\""),
            (json!("-1"), "\"'-1\""),
            (json!("@SUM(A1)"), "\"'@SUM(A1)\""),
            (json!("\t=1"), "\"'\t=1\""),
            (json!("\ta"), "\"'\ta\""),
            (json!("\ra"), "\"'\ra\""),
            (json!("\na"), "\"'\na\""),
            (json!("  =1"), "\"'  =1\""),
            (json!("\u{feff}=1"), "\"'\u{feff}=1\""),
            (json!("\u{3000}＝1"), "\"'\u{3000}＝1\""),
            (json!("＝1"), "\"'＝1\""),
            (json!("＋1"), "\"'＋1\""),
            (json!("－1"), "\"'－1\""),
            (json!("＠a"), "\"'＠a\""),
            (json!("'=1"), "'=1"),
        ];
        for (value, expected) in table {
            let mut out = Vec::new();
            let record = Map::from_iter([("b".to_owned(), value.clone())]);
            row(&["a", "b", "c"], &record, &mut out);
            let line = String::from_utf8(out).unwrap();
            assert_eq!(line, format!(",{expected},\r\n"), "{value}");
        }
    }
}
