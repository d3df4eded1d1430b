//! The files of the page, which hold no data and so are for everybody.

use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Path, type and content.
const FILES: &[(&str, &str, &str)] = &[
    ("/", HTML, include_str!("page/index.html")),
    ("/style.css", CSS, include_str!("page/style.css")),
    ("/main.js", SCRIPT, include_str!("page/main.js")),
    ("/elements.js", SCRIPT, include_str!("page/elements.js")),
    ("/list.js", SCRIPT, include_str!("page/list.js")),
    ("/detail.js", SCRIPT, include_str!("page/detail.js")),
    ("/topology.js", SCRIPT, include_str!("page/topology.js")),
    ("/icon.svg", SVG, include_str!("page/icon.svg")),
];

/// Where each is found.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let routes = FILES.iter();
    routes.fold(Router::new(), |routes, &(path, kind, content)| {
        let file = move || async move { file(kind, content) };
        routes.route(path, get(file))
    })
}

fn file(kind: &'static str, content: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], content).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The policy would refuse them; and a page that builds text into HTML is one mistake from running it.
    #[test]
    fn nothing_is_inline_and_nothing_is_fetched_from_elsewhere() {
        for (path, _, content) in FILES {
            for word in [
                "style=",
                "onclick=",
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "eval(",
                "document.write",
                "@import",
                "https://",
            ] {
                let known = *path == "/elements.js" && word == "https://";
                assert!(known || !content.contains(word), "{word} in {path}");
            }
        }
        let (_, _, page) = FILES[0];
        assert!(!page.contains("<style"));
        for script in page.split("<script").skip(1) {
            let tag = script.split('>').next().expect("a tag");
            assert!(tag.contains("src="), "{tag}");
        }
    }

    #[test]
    fn every_module_that_is_imported_is_served() {
        for (path, _, content) in FILES {
            for import in content.split(" from \"./").skip(1) {
                let name = import.split('"').next().expect("a name");
                assert!(
                    FILES.iter().any(|(path, ..)| path[1..] == *name),
                    "{name} in {path}"
                );
            }
        }
    }
}
