//! The few things that the rules do with XML: find, read, build, write. Names are local; namespaces only pass through.

use xmltree::{Element, EmitterConfig, Namespace, XMLNode};

/// Parses a document.
pub(crate) fn parse(document: &[u8]) -> Option<Element> {
    Element::parse(document).ok()
}

/// A document's text, with its declaration.
pub(crate) fn render(root: &Element) -> Vec<u8> {
    let mut document = Vec::new();
    // Only a writer fails, and a vector does not.
    let _ = root.write_with_config(&mut document, EmitterConfig::new());
    document
}

/// An element with this text.
pub(crate) fn text(name: &str, text: impl Into<String>) -> Element {
    let mut element = Element::new(name);
    element.children.push(XMLNode::Text(text.into()));
    element
}

/// An element with these children.
pub(crate) fn parent(name: &str, children: impl IntoIterator<Item = Element>) -> Element {
    let mut element = Element::new(name);
    element
        .children
        .extend(children.into_iter().map(XMLNode::Element));
    element
}

/// The same element as the root of a namespace.
pub(crate) fn in_namespace(mut root: Element, namespace: &str) -> Element {
    let mut namespaces = Namespace::empty();
    namespaces.put("", namespace);
    root.namespaces = Some(namespaces);
    root.namespace = Some(namespace.to_owned());
    root
}

/// All child elements.
pub(crate) fn elements(element: &Element) -> impl Iterator<Item = &Element> {
    element.children.iter().filter_map(XMLNode::as_element)
}

/// The descendant at a path of local names, e.g. `["Origins", "Items"]`.
pub(crate) fn at<'a>(element: &'a Element, path: &[&str]) -> Option<&'a Element> {
    path.iter()
        .try_fold(element, |element, name| element.get_child(*name))
}

/// The text of the descendant at a path; empty if it is absent or has none.
pub(crate) fn text_at(element: &Element, path: &[&str]) -> String {
    at(element, path)
        .and_then(|element| element.get_text())
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

/// The child elements of the list at a path.
pub(crate) fn items<'a>(element: &'a Element, path: &[&str]) -> Vec<&'a Element> {
    at(element, path)
        .map(|list| elements(list).collect())
        .unwrap_or_default()
}

/// Sets the text of a child, which is added at the end if it is absent.
pub(crate) fn set(element: &mut Element, name: &str, value: &str) {
    match element.get_mut_child(name) {
        Some(child) => child.children = vec![XMLNode::Text(value.to_owned())],
        None => element.children.push(XMLNode::Element(text(name, value))),
    }
}

/// Calls a function for an element and all below it.
pub(crate) fn visit<'a>(element: &'a Element, each: &mut impl FnMut(&'a Element)) {
    each(element);
    for child in elements(element) {
        visit(child, each);
    }
}
