// Small helpers: elements are made, never text that is read as HTML.

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element; children that are null are left out. */
export function element(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same in SVG. */
export function shape(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) {
      made.setAttribute(name, value === true ? "" : value);
    }
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return made;
}

const SYMBOLS = { good: "✔", bad: "✖", busy: "…", unknown: "?" };

/** What goes before a state, that its colour is not its only sign. */
export function symbol(level) {
  return SYMBOLS[level] ?? "?";
}

/** A state with its symbol. */
export function badge(level, text) {
  const mark = element("span", { class: "mark", "aria-hidden": "true" }, symbol(level));
  return element("span", { class: `badge ${level}` }, mark, text);
}

/** How a condition is to be seen. */
export function level(type, status) {
  if (type === "Reconciling") return "busy";
  if (type === "Stalled") return status === "True" ? "bad" : "good";
  return { True: "good", False: "bad" }[status] ?? "unknown";
}

/** A condition's badge, or a dash. */
export function verdict(type, condition, text) {
  return condition ? badge(level(type, condition.status), text(condition)) : "–";
}

const STEPS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

function age(text) {
  const seconds = Math.max(0, (Date.now() - Date.parse(text)) / 1000);
  const [size, unit] = STEPS.find(([size]) => seconds >= size) ?? [1, "s"];
  return `${Math.floor(seconds / size)} ${unit}`;
}

/** How long ago a time is, which goes on counting; the time itself on hover. */
export function ago(text, after = "") {
  if (!text) return "–";
  return element("time", { datetime: text, title: text, "data-after": after }, age(text) + after);
}

/** Counts on. */
export function tick() {
  for (const time of document.querySelectorAll("time[data-after]")) {
    time.textContent = age(time.getAttribute("datetime")) + time.dataset.after;
  }
}

/** A link out, if it is one that may be followed. */
export function link(url) {
  if (!url) return "–";
  if (!url.startsWith("https://")) return url;
  const host = url.slice("https://".length);
  return element("a", { href: url, rel: "noreferrer noopener", target: "_blank" }, host);
}

/** A table; cells may be elements, texts or nothing. */
export function table(caption, heads, rows) {
  const head = heads.map((text) => element("th", { scope: "col" }, text));
  return element(
    "div",
    { class: "scroll" },
    element(
      "table",
      {},
      element("caption", { class: "hidden" }, caption),
      element("thead", {}, element("tr", {}, head)),
      element("tbody", {}, rows),
    ),
  );
}

/** A row of a table, the first cell being its head. */
export function row(attributes, first, ...cells) {
  const rest = cells.map((cell) => element("td", {}, cell));
  return element("tr", attributes, element("th", { scope: "row" }, first), rest);
}
