//! Reading the API's XML: what is at a path of names.

use xmltree::{Element, XMLNode};

/// The text at a path; empty if it is absent or has none.
pub(crate) fn text(element: &Element, path: &str) -> String {
    at(element, path)
        .and_then(|element| element.get_text())
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

/// The text at a path, unless it is absent or empty.
pub(crate) fn some(element: &Element, path: &str) -> Option<String> {
    Some(text(element, path)).filter(|text| !text.is_empty())
}

/// The number at a path.
pub(crate) fn number(element: &Element, path: &str) -> Option<u64> {
    text(element, path).parse().ok()
}

/// Whether the text at a path is `true`.
pub(crate) fn is_true(element: &Element, path: &str) -> bool {
    text(element, path) == "true"
}

/// The elements of the list at a path, which ends with `Items`.
pub(crate) fn items<'a>(element: &'a Element, path: &str) -> Vec<&'a Element> {
    at(element, path)
        .map(|list| {
            list.children
                .iter()
                .filter_map(XMLNode::as_element)
                .collect()
        })
        .unwrap_or_default()
}

/// The texts of the elements of the list at a path.
pub(crate) fn texts<T: FromIterator<String>>(element: &Element, path: &str) -> T {
    items(element, path)
        .into_iter()
        .map(|item| {
            item.get_text()
                .map(|text| text.trim().to_owned())
                .unwrap_or_default()
        })
        .collect()
}

fn at<'a>(element: &'a Element, path: &str) -> Option<&'a Element> {
    path.split('/')
        .try_fold(element, |element, name| element.get_child(name))
}
