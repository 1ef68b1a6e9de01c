//! The service, asked as a client asks it.

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use parrot_infer::{Parrot, device};
use tower::ServiceExt;

fn repository(file: &str) -> String {
    format!("{}/../../{file}", env!("CARGO_MANIFEST_DIR"))
}

async fn ask(service: Router, question: &str, image: Vec<u8>) -> (StatusCode, String) {
    let request = Request::post(format!("/ask?question={question}")).body(Body::from(image)).unwrap();
    let response = service.oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn it_answers_several_at_once_and_refuses_in_words() {
    let parrot = Parrot::load(repository("assets/parrot-mini"), &device::open("cpu").unwrap()).unwrap();
    let service = async_service::router(parrot);
    let rocket = std::fs::read(repository("assets/pictures/rocket.png")).unwrap();

    let asked = ["What%20is%20in%20the%20picture%3F", "Resimde%20ne%20var%3F"];
    let [english, turkish] = asked.map(|question| ask(service.clone(), question, rocket.clone()));
    let (english, turkish) = tokio::join!(english, turkish);
    assert_eq!(english, (StatusCode::OK, "rocket".into()));
    assert_eq!(turkish, (StatusCode::OK, "roket".into()));

    let (status, reason) = ask(service.clone(), "x", b"no picture".to_vec()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(reason.contains("picture of the request"), "{reason}");
    let (status, reason) = ask(service, "%20", rocket).await;
    assert_eq!((status, reason.as_str()), (StatusCode::BAD_REQUEST, "the question is empty"));
}
