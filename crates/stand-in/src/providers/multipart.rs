//! Reads `multipart/form-data` as far as a test's client writes it.

/// Names, values and, of files, their names. What is not well formed is left out.
pub(crate) fn parts(body: &[u8], boundary: &str) -> Vec<(String, String, Option<String>)> {
    let text = String::from_utf8_lossy(body);
    let delimiter = format!("--{boundary}");
    text.split(delimiter.as_str()).filter_map(part).collect()
}

fn part(text: &str) -> Option<(String, String, Option<String>)> {
    let (head, value) = text.strip_prefix("\r\n")?.strip_suffix("\r\n")?.split_once("\r\n\r\n")?;
    let quoted = |name: &str| {
        let (_, rest) = head.split_once(&format!(" {name}=\""))?;
        Some(rest.split_once('"')?.0.to_owned())
    };
    Some((quoted("name")?, value.to_owned(), quoted("filename")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_files_are_told_apart() {
        let body = "--b\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\na\r\nb\r\n\
                    --b\r\nContent-Disposition: form-data; name=\"none\"; filename=\"none\"\r\n\r\n\r\n--b--\r\n";
        let expected = [
            ("prompt".to_owned(), "a\r\nb".to_owned(), None),
            ("none".to_owned(), String::new(), Some("none".to_owned())),
        ];
        assert_eq!(parts(body.as_bytes(), "b"), expected);
    }
}
