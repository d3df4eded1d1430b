// One app: what matters first, its topology, its conditions, what is to be done, the last drill, its events.

import { ago, badge, element, level, link, row, table, verdict } from "./elements.js";
import { remarks } from "./list.js";
import { topology } from "./topology.js";

/** Everything about one app. */
export function detail(shown) {
  const { app } = shown;
  const ready = app.ready ? `Ready ${app.ready.status}` : "no status yet";
  return {
    title: `${app.name}: ${ready}`,
    content: [
      element(
        "div",
        { class: "heading" },
        element("h1", {}, app.name),
        element("p", { class: "quiet" }, `namespace ${app.namespace}`),
        remarks(app),
        app.url ? element("p", {}, link(app.url)) : null,
      ),
      tiles(shown),
      element("section", {}, element("h2", {}, "Topology"), picture(shown)),
      conditions(shown.conditions),
      pending(shown.pending),
      dns(shown.dns),
      retained(shown.retained),
      drill(shown.lastDrill),
      events(shown.events),
    ],
  };
}

function section(title, ...content) {
  return element("section", {}, element("h2", {}, title), ...content);
}

/** The answer to the first question, without scrolling. */
function tiles({ app, writer }) {
  const tile = (name, value, ...more) => {
    const notes = more.filter(Boolean).map((text) => element("small", {}, text));
    return element("div", { class: "tile" }, element("dt", {}, name), element("dd", {}, value, notes));
  };
  const status = ({ status }) => status;
  const failover = app.failover && `FailoverHealthy ${app.failover.status}`;
  const epoch = writer && `epoch ${writer.epoch}: ${writer.reason}`;
  const lag = app.lagSeconds === null ? "not known" : `${app.lagSeconds} s`;
  return element(
    "dl",
    { class: "tiles" },
    tile("Ready", verdict("Ready", app.ready, status), app.ready?.reason),
    tile("Failover", verdict("FailoverHealthy", app.failover, ({ reason }) => reason), failover),
    tile("Writer", element("strong", { id: "writer" }, writer?.active ?? "not known"), epoch),
    tile("Longest lag", element("strong", {}, lag), "of all replications"),
    tile("Synced", verdict("Synced", app.synced, status), app.synced?.reason),
  );
}

function picture({ picture, pictureError }) {
  if (!picture) return element("p", { class: "notice" }, `It cannot be drawn: ${pictureError}`);
  const besides = picture.besides.map((text) => element("li", {}, text));
  return element(
    "div",
    {},
    element("div", { class: "scroll" }, topology(picture)),
    besides.length ? element("p", {}, "To do besides:") : null,
    besides.length ? element("ul", {}, besides) : null,
  );
}

function conditions(all) {
  if (all.length === 0) return section("Conditions", element("p", { class: "quiet" }, "None yet."));
  const rows = all.map((condition) =>
    row(
      {},
      condition.type,
      badge(level(condition.type, condition.status), condition.status),
      condition.reason,
      condition.message,
      ago(condition.lastTransitionTime),
    ),
  );
  return section("Conditions", table("Conditions", ["Type", "Status", "Reason", "Message", "Since"], rows));
}

function pending(all) {
  if (all.length === 0) return null;
  const rows = all.map((change) => row({}, change.resource, change.change, change.waitingOn ?? "–"));
  return section("To do", table("What is still to be done", ["Resource", "Change", "Waits on"], rows));
}

function dns(status) {
  if (!status?.records.length) return null;
  const rows = status.records.map((record) => row({}, record.name, record.type, record.value, record.purpose));
  return section("DNS records to create", table("DNS records", ["Name", "Type", "Value", "Purpose"], rows));
}

function retained(all) {
  if (all.length === 0) return null;
  const rows = all.map((item) => row({}, item.name, item.kind, item.region ?? "–", item.reason));
  return section("Left in AWS on purpose", table("Retained", ["Name", "Kind", "Region", "Why"], rows));
}

function drill(last) {
  if (!last) return section("Last drill", element("p", { class: "quiet" }, "There was none."));
  const levels = { Succeeded: "good", Failed: "bad", Running: "busy" };
  const seconds = (milliseconds) => (milliseconds === undefined ? "–" : `${milliseconds / 1000} s`);
  const facts = [
    ["Result", badge(levels[last.result] ?? "unknown", last.result)],
    ["Started", ago(last.started, " ago")],
    ["To DR", seconds(last.toDRMilliseconds)],
    ["Back", seconds(last.toPrimaryMilliseconds)],
    ["Failed requests", last.failedRequests ?? "–"],
    ["Write probe", last.writeProbe ?? "–"],
  ];
  const list = facts.map(([name, value]) =>
    element("div", { class: "tile" }, element("dt", {}, name), element("dd", {}, value)),
  );
  const message = last.message ? element("p", {}, last.message) : null;
  return section("Last drill", element("dl", { class: "tiles small" }, list), message);
}

function events({ items, error }) {
  if (error) return section("Events", element("p", { class: "notice" }, error));
  if (items.length === 0) return section("Events", element("p", { class: "quiet" }, "None of late."));
  const rows = items.map((event) =>
    row(
      {},
      ago(event.time, " ago"),
      badge(event.kind === "Warning" ? "bad" : "good", event.kind),
      event.count > 1 ? `${event.reason} (${event.count} times)` : event.reason,
      event.message,
    ),
  );
  return section("Events", table("Events", ["Last seen", "Type", "Reason", "Message"], rows));
}
