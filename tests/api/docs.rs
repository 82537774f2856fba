//! What `docs/api.md` says is so: every command in it is asked of a service, every endpoint is in it.

use reqwest::Method;
use serde_json::json;

use super::look::incident;
use super::stage::{Stage, TOKEN, ago, down, record, root, route, settled, snapshot};

/// The words of a shell command, as far as the page needs them.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None, None);
    for c in line.chars() {
        match (quote, c) {
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_with(String::new);
            }
            (Some(open), _) if open == c => quote = None,
            (None, ' ') => words.extend(word.take()),
            (_, _) => word.get_or_insert_with(String::new).push(c),
        }
    }
    words.extend(word);
    words
}

fn page() -> String {
    std::fs::read_to_string(root().join("docs/api.md")).unwrap()
}

#[tokio::test]
async fn the_commands_of_the_page_do_what_it_says() {
    let mut history = vec![incident(1, ago(30), None)];
    history.extend(settled(record(1, ago(10), &json!({}))));
    let service = Stage {
        snapshot: snapshot(&json!({ "routes": [down("inbound"), route("outbound", &json!({}))] })),
        history,
        ..Stage::default()
    };
    let service = service.start().await;
    let page = page().replace("\\\n", " ");
    let mut run = 0;
    for line in page
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("curl "))
    {
        let command = line.split(" | ").next().unwrap();
        let words = words(command);
        let mut words = words.iter().skip(1).map(String::as_str);
        let (mut method, mut headers, mut body, mut path) =
            (Method::GET, Vec::new(), String::new(), None);
        while let Some(word) = words.next() {
            match word {
                "-s" => {}
                "-X" => method = words.next().unwrap().parse().unwrap(),
                "-H" => {
                    let header = words.next().unwrap().replace("$TOKEN", TOKEN);
                    let (name, value) = header.split_once(": ").unwrap();
                    headers.push((name.to_owned(), value.to_owned()));
                }
                "-d" => body.push_str(words.next().unwrap()),
                url => {
                    path = Some(
                        url.strip_prefix("http://127.0.0.1:9725")
                            .unwrap()
                            .to_owned(),
                    );
                }
            }
        }
        if !body.is_empty() && method == Method::GET {
            method = Method::POST;
        }
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let path = path.unwrap();
        let answer = service.ask(method, &path, &headers, &body).await;
        assert!(
            answer.status.is_success(),
            "{line}: {} {}",
            answer.status,
            answer.text
        );
        run += 1;
    }
    assert!(run >= 8, "{run} commands");
    assert!(service.heard().len() >= 2, "{:?}", service.heard());
}

#[tokio::test]
async fn every_endpoint_and_every_parameter_is_on_the_page() {
    let page = page();
    let root = Stage::default().start().await.get("/").await.text;
    for line in root.lines().filter(|line| line.contains("  ")) {
        let mut words = line.split_whitespace();
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        assert!(
            page.contains(&format!("`{method} {path}`")),
            "{method} {path}"
        );
        for parameter in
            words.filter_map(|word| word.trim_start_matches(['?', '&']).strip_suffix('='))
        {
            assert!(
                page.contains(&format!("`{parameter}`")),
                "{path}: {parameter}"
            );
        }
    }
    for (name, _) in mailrobin::service::api::document::schemas() {
        assert!(
            page.contains(&format!("schema/{name}.schema.json")),
            "{name}"
        );
    }
}
