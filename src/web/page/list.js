// Every app, with the columns of kubectl; what is in trouble comes first.

import { ago, element, link, row, table, verdict } from "./elements.js";

const HEADS = [
  "Name", "Namespace", "Ready", "Writer", "Failover", "Lag", "URL", "Age", "Primary", "DR", "Distribution", "Synced",
];

let filter = "";

/** The list. */
export function list({ apps, partly }) {
  const trouble = apps.filter((app) => rank(app) < 2).length;
  const sorted = apps.toSorted((one, other) => rank(one) - rank(other));
  const body = table("MultiRegionApps", HEADS, sorted.map(line));
  const box = element("input", {
    id: "filter", type: "search", placeholder: "Filter", "aria-label": "Filter by name or namespace", value: filter,
  });
  box.addEventListener("input", () => {
    filter = box.value;
    show(body);
  });
  show(body);
  const count = apps.length === 1 ? "1 app" : `${apps.length} apps`;
  const state = trouble === 0 ? "none in trouble" : `${trouble} in trouble`;
  const where = partly ? "in the namespaces that you may list" : "in all namespaces";
  const text = apps.length === 0 ? `There are no MultiRegionApps ${where}.` : `${count} ${where}, ${state}`;
  return {
    title: `${trouble ? `(${trouble}) ` : ""}MultiRegionApps`,
    content: [
      element("div", { class: "heading" }, element("h1", {}, "Apps"), element("p", { class: "quiet" }, text), box),
      apps.length === 0 ? null : body,
    ],
  };
}

/** 0: does not serve as declared, 1: could not fail over, 2: nobody knows, 3: well. */
function rank(app) {
  if (app.ready?.status === "False") return 0;
  if (app.failover?.status === "False") return 1;
  return app.ready?.status === "True" && app.failover?.status === "True" ? 3 : 2;
}

function show(body) {
  for (const line of body.querySelectorAll("tbody tr")) {
    line.hidden = !line.dataset.key.includes(filter.trim().toLowerCase());
  }
}

/** What else is to be known of an app at once. */
export function remarks(app) {
  const all = [
    [app.deleting, "is being deleted"], [app.suspended, "suspended"], [app.observed, "observed only"],
    [app.stale, "status of an older spec"],
  ];
  return all.filter(([holds]) => holds).map(([, text]) => element("span", { class: "remark" }, text));
}

function line(app) {
  const key = `${app.namespace}/${app.name}`;
  const href = `#/${encodeURIComponent(app.namespace)}/${encodeURIComponent(app.name)}`;
  const name = [element("a", { href, id: `app-${key}` }, app.name), remarks(app)].flat();
  return row(
    { "data-key": key.toLowerCase() },
    name,
    app.namespace,
    verdict("Ready", app.ready, ({ status }) => status),
    app.writer ?? "–",
    verdict("FailoverHealthy", app.failover, ({ reason }) => reason),
    app.lagSeconds ?? "–",
    link(app.url),
    ago(app.created),
    app.primary,
    app.dr ?? "–",
    app.distribution ?? "–",
    verdict("Synced", app.synced, ({ status }) => status),
  );
}
