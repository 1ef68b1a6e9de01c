//! Having a dataset's answers rated.

use crate::Result;
use crate::benchmarks::llava_bench::judge_prompt;
use crate::data::problem::{Problem, ProblemKind};
use crate::dataset::Dataset;
use crate::predictions::Assigned;
use crate::ratings::Ratings;

use super::endpoint::{Failure, Judge};

/// A judge that fails for this many answers in a row is not asked about others.
const PATIENCE: usize = 3;

/// Has every answer rated that has no rating yet; `on_answer` is told how many of how many are done. What stays without a
/// rating is returned with the reason.
///
/// # Errors
///
/// When the file of ratings cannot be written.
pub fn rate(
    judge: &Judge,
    dataset: &Dataset,
    predictions: &Assigned,
    ratings: &mut Ratings,
    mut on_answer: impl FnMut(usize, usize),
) -> Result<Vec<Problem>> {
    let answered = || dataset.rows.iter().zip(&predictions.of_rows);
    let open: Vec<_> = answered()
        .filter_map(|(row, texts)| Some((row, judge_prompt(row, texts.last()?)?)))
        .filter(|(_, prompt)| ratings.of_prompt(prompt).is_none())
        .collect();
    let mut problems = Vec::new();
    let mut failed_in_a_row = 0;
    for (at, (row, prompt)) in open.iter().enumerate() {
        match judge.rate(prompt) {
            Ok((rating, reply)) => {
                ratings.add(prompt, (&dataset.id, &row.index), rating, &reply)?;
                failed_in_a_row = 0;
            }
            Err(failure) => {
                let (why, ends) = match failure {
                    Failure::Nonsense(why) => {
                        failed_in_a_row = 0;
                        (why, false)
                    }
                    Failure::Unreachable(why) => {
                        failed_in_a_row += 1;
                        (why, failed_in_a_row == PATIENCE)
                    }
                    Failure::Refused(why) => (why, true),
                };
                problems.push(dataset.problem(row, ProblemKind::Unjudged, why));
                let left = open.len() - at - 1;
                if ends && left > 0 {
                    let detail = format!(
                        "{left} more answers, about which the judge was not asked any more; the same command goes on with them"
                    );
                    let (file, kind) = (dataset.file_name(), ProblemKind::Unjudged);
                    problems.push(Problem { kind, file, line: None, index: None, detail });
                }
                if ends {
                    break;
                }
            }
        }
        on_answer(at + 1, open.len());
    }
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::*;
    use crate::{ImageStore, LlavaBench, Protocol, score};

    const IMAGE: &str =
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

    /// A server that gives each request the next of these replies, the last one for ever; how many it got, and the last of them.
    struct Server {
        address: String,
        asked: Arc<AtomicUsize>,
        request: Arc<Mutex<String>>,
    }

    fn server(replies: Vec<String>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/v1", listener.local_addr().unwrap());
        let (asked, request) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(String::new())));
        let (count, last) = (Arc::clone(&asked), Arc::clone(&request));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                *last.lock().unwrap() = read_request(&mut stream);
                let at = count.fetch_add(1, Ordering::SeqCst).min(replies.len() - 1);
                let reply = replies[at].clone();
                std::thread::spawn(move || match reply.strip_prefix("slow ") {
                    // A reply that does not come, or not as a whole.
                    Some(start) => {
                        let _ = stream.write_all(start.as_bytes());
                        std::thread::sleep(Duration::from_secs(2));
                    }
                    None => _ = stream.write_all(reply.as_bytes()),
                });
            }
        });
        Server { address, asked, request }
    }

    fn read_request(stream: &mut TcpStream) -> String {
        let mut reader = BufReader::new(stream);
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let lower = line.to_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            head += &line;
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        head + &String::from_utf8(body).unwrap()
    }

    fn http(status: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
    }

    fn says(content: &str) -> String {
        http("200 OK", &serde_json::json!({"choices": [{"message": {"content": content}}]}).to_string())
    }

    /// Five questions, all answered, with what a spreadsheet would rewrite.
    fn dataset() -> (Dataset, Assigned) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("LLaVABench.tsv");
        let rows = (1..=5).map(|at| format!("{at}\t{IMAGE}\tWhat is {at}?\tA cat.\tA cat {at}.\tconv\n"));
        let text =
            format!("index\timage\tquestion\tcaption\tgpt4_ans\tcategory\n{}", rows.collect::<String>());
        std::fs::write(&file, text).unwrap();
        let dataset = Dataset::open(&file, &mut ImageStore::default()).unwrap();
        let of_rows = (1..=5).map(|at| vec![format!("=It is\r a cat {at}.")]).collect();
        (dataset, Assigned { of_rows, ..Assigned::default() })
    }

    fn judge(address: &str, patience: Duration) -> Judge {
        let key = Some("secret".into());
        Judge::new(address, "judge", key, patience).unwrap().pausing(Duration::ZERO)
    }

    fn rated(address: &str, ratings: &mut Ratings) -> Vec<String> {
        rated_within(Duration::from_secs(60), address, ratings)
    }

    fn rated_within(patience: Duration, address: &str, ratings: &mut Ratings) -> Vec<String> {
        let (dataset, predictions) = dataset();
        let problems = rate(&judge(address, patience), &dataset, &predictions, ratings, |_, _| ()).unwrap();
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_judge_rates_every_answer_once() {
        let server = server(vec![says("9 8\nGood."), says("10 5")]);
        let mut ratings = Ratings::in_memory("judge");
        assert_eq!(rated(&server.address, &mut ratings), [] as [&str; 0]);
        assert_eq!((ratings.len(), server.asked.load(Ordering::SeqCst)), (5, 5));
        let request = server.request.lock().unwrap().clone();
        assert!(request.starts_with("POST /v1/chat/completions") && request.contains("Bearer secret"));
        assert!(
            request.contains(
                "[Context]\\nA cat.\\n\\n[Question]\\nWhat is 5?\\n\\n[Assistant 1]\\nA cat 5.\\n\\n"
            )
        );
        // Nothing is left to ask.
        assert_eq!(rated(&server.address, &mut ratings), [] as [&str; 0]);
        assert_eq!(server.asked.load(Ordering::SeqCst), 5);
        let (mut dataset, predictions) = dataset();
        dataset.benchmark = Arc::new(LlavaBench::rated(Arc::new(ratings)));
        let result = score(&dataset, &predictions, Protocol::Kit2026_08).result;
        assert_eq!((result.scores[0].value.round(), result.extraction.judged), (57.0, 5));
    }

    #[test]
    fn a_judge_that_cannot_be_reached_is_not_asked_about_everything() {
        // A port that nobody listens at.
        let address = {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            format!("http://{}/v1", listener.local_addr().unwrap())
        };
        let mut ratings = Ratings::in_memory("judge");
        let problems = rated(&address, &mut ratings);
        assert_eq!((ratings.len(), problems.len()), (0, 4));
        assert!(problems[0].starts_with("LLaVABench.tsv line 2 (index 1): not judged: it cannot be reached"));
        assert!(
            problems[3].contains("not judged: 2 more answers, about which the judge was not asked any more")
        );
        // It is there again: the same command goes on.
        let server = server(vec![says("9 8")]);
        assert_eq!(rated(&server.address, &mut ratings), [] as [&str; 0]);
        assert_eq!(ratings.len(), 5);
    }

    #[test]
    fn what_a_judge_does_wrong_leaves_an_answer_without_a_rating() {
        for (reply, problem, asked, problems) in [
            // Not in time, at all or as a whole: each answer once.
            ("slow ".to_string(), "it did not answer in time", 3, 4),
            ("slow HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".into(), "in time", 3, 4),
            // Asked again.
            (says("I cannot rate this."), "expected two numbers up to 10", 15, 5),
            (http("200 OK", "<html>"), "its reply is no chat completion: <html>", 15, 5),
            (http("200 OK", "{\"choices\": []}"), "its reply is no chat completion", 15, 5),
            (http("503 Busy", "busy"), "it answered 503: busy", 9, 4),
            // No use to go on.
            (http("401 No", "wrong key"), "it answered 401: wrong key", 1, 2),
            (http("302 Found", ""), "it answered 302; `--judge` has to be the address itself", 1, 2),
        ] {
            let patience = if reply.starts_with("slow") { 500 } else { 60_000 };
            let server = server(vec![reply]);
            let mut ratings = Ratings::in_memory("judge");
            let found = rated_within(Duration::from_millis(patience), &server.address, &mut ratings);
            assert!(found[0].contains(problem), "{problem}: {}", found[0]);
            let found = (server.asked.load(Ordering::SeqCst), found.len(), ratings.len());
            assert_eq!(found, (asked, problems, 0), "{problem}");
        }
    }

    #[test]
    fn an_accident_is_asked_again() {
        let server = server(vec![http("500 Oops", ""), says("no numbers"), says("9 8")]);
        let mut ratings = Ratings::in_memory("judge");
        assert_eq!(rated(&server.address, &mut ratings), [] as [&str; 0]);
        assert_eq!((ratings.len(), server.asked.load(Ordering::SeqCst)), (5, 7));
    }
}
