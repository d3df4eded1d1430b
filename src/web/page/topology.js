// The picture of one app: Route 53, CloudFront and its certificate, the origin groups and the edge function, and the two
// regions side by side, with what is replicated between them.

import { shape, symbol } from "./elements.js";

const WIDTH = 1180;
const NODE = { width: 190, line: 15, padding: 9 };
const WIDE = 230;
const GAP = 30;
// Centres of the columns: outer and inner of the primary, inner and outer of DR.
const COLUMN = { outer: { Primary: 135, DR: 1045 }, inner: { Primary: 365, DR: 815 }, middle: 475 };
const FRAME = { Primary: 20, DR: 700, width: 460 };

/** The whole drawing. */
export function topology(picture) {
  const placed = place(picture);
  const { nodes, frames, levels, height } = placed;
  const arrows = picture.arrows.map((arrow) => draw(arrow, nodes, levels)).filter(Boolean);
  return shape(
    "svg",
    {
      class: "topology", viewBox: `0 0 ${WIDTH} ${height}`, width: WIDTH, height, role: "group",
      "aria-label": "Topology",
    },
    shape("defs", {}, ["plain", "good", "bad", "unknown", "accent"].map(marker)),
    frames.map(frame),
    arrows.map(({ lines }) => lines),
    [...nodes.values()].map(box),
    arrows.map(({ label }) => label),
    legend(height - 14),
  );
}

/** Where every part is. */
function place(picture) {
  const nodes = new Map(picture.nodes.map((node) => [node.id, { ...node, lines: lines(node) }]));
  const all = [...nodes.values()];
  const of = (...parts) => all.filter((node) => !node.region && parts.includes(node.part));
  const put = (node, centre, top, width = NODE.width) => Object.assign(node, { centre, top, width });

  const first = of("Records", "Distribution", "Certificate");
  const second = of("FunctionGroup", "EdgeFunction", "StaticGroup");
  const roles = of("Role");
  const where = {
    Records: COLUMN.outer.Primary, Distribution: COLUMN.middle, Certificate: COLUMN.inner.DR,
    FunctionGroup: COLUMN.outer.Primary, EdgeFunction: COLUMN.middle, StaticGroup: COLUMN.inner.DR,
  };
  let top = 12;
  for (const [number, line] of [first, second].entries()) {
    const row = [...line, ...roles.slice(number, number + 1)];
    if (row.length === 0) continue;
    const tall = Math.max(...row.map((node) => node.lines.height));
    line.forEach((node) => put(node, where[node.part], top, WIDE));
    if (roles[number]) put(roles[number], COLUMN.outer.DR, top);
    row.forEach((node) => (node.height = tall));
    // Room for the labels of the arrows.
    top += tall + 46;
  }
  const levels = { writes: top - 26, functions: top - 10, statics: top + 6 };
  top += 26;

  const frames = picture.regions.map((region) => ({ ...region, top }));
  const inside = all.filter((node) => node.region);
  const tall = Math.max(...inside.map((node) => node.lines.height));
  let bottom = top;
  for (const { role } of picture.regions) {
    const here = inside.filter((node) => node.region === role);
    const column = (parts) => here.filter((node) => parts.includes(node.part));
    for (const [centre, list] of [
      [COLUMN.outer[role], [...column(["Function"]), ...column(["Code"])]],
      [COLUMN.inner[role], [...column(["StaticFiles"]), ...column(["Table"])]],
    ]) {
      list.forEach((node, number) => {
        put(node, centre, top + 54 + number * (tall + GAP));
        node.height = tall;
        bottom = Math.max(bottom, node.top + tall);
      });
    }
  }
  frames.forEach((frame) => (frame.bottom = bottom + 18));
  return { nodes, frames, levels, height: bottom + 18 + 36 };
}

/** The text of a node, line by line. */
function lines(node) {
  const text = [{ text: node.title, kind: "title" }];
  text.push(...wrap(node.name, node.region || node.part === "Role" ? 30 : 38).map((text) => ({ text, kind: "name" })));
  if (node.takesWrites) text.push({ text: "✎ takes the writes", kind: "writes" });
  if (node.state) {
    const level = node.state.level.toLowerCase();
    text.push({ text: `${symbol(level)} ${node.state.text}`, kind: `state ${level}` });
  }
  text.push(...node.toDo.slice(0, 2).map((change) => ({ text: cut(`to do: ${change}`, 27), kind: "to-do" })));
  text.height = text.length * NODE.line + 2 * NODE.padding;
  return text;
}

/** Two lines at most, broken where names are. */
function wrap(name, most) {
  if (name.length <= most) return [name];
  const at = Math.max(name.lastIndexOf("-", most - 1), name.lastIndexOf(" ", most - 1)) + 1 || most;
  return [name.slice(0, at).trim(), cut(name.slice(at).trim(), most)];
}

function cut(text, most) {
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}

function box(node) {
  const left = node.centre - node.width / 2;
  const words = [node.title, node.name, node.region ? `in ${node.region}` : null, node.state?.text];
  if (node.takesWrites) words.push("takes the writes");
  words.push(...node.toDo.map((change) => `to do: ${change}`));
  const spoken = words.filter(Boolean).join(", ");
  const level = node.state?.level.toLowerCase() ?? "";
  const classes = ["node", level, node.takesWrites ? "writer" : "", node.toDo.length ? "pending" : ""];
  return shape(
    "g",
    { class: classes.join(" "), role: "img", "aria-label": spoken, "data-node": node.id },
    shape("title", {}, spoken),
    shape("rect", { x: left, y: node.top, width: node.width, height: node.height, rx: 7 }),
    node.lines.map(({ text, kind }, number) =>
      shape(
        "text",
        { class: kind, x: node.centre, y: node.top + NODE.padding + 12 + number * NODE.line },
        text,
      ),
    ),
  );
}

function frame(region) {
  const left = FRAME[region.role];
  const level = { Healthy: "good", Unhealthy: "bad" }[region.health] ?? "unknown";
  const health = region.health ? `${symbol(level)} ${region.health}` : "";
  // Between the columns, where no arrow comes in.
  const middle = left + FRAME.width / 2;
  const spoken = `${region.role} ${region.name} ${region.health ?? ""}`;
  return shape(
    "g",
    { class: `frame ${level} ${region.takesWrites ? "writer" : ""}`, role: "img", "aria-label": spoken },
    shape("rect", { x: left, y: region.top, width: FRAME.width, height: region.bottom - region.top, rx: 10 }),
    shape("text", { class: "region", x: middle, y: region.top + 24 }, `${region.role} ${region.name}`),
    shape("text", { class: `state ${level}`, x: middle, y: region.top + 42 }, health),
  );
}

/** An arrow's lines and label; null for what the places of the nodes already say. */
function draw(arrow, nodes, levels) {
  const [from, to] = [nodes.get(arrow.from), nodes.get(arrow.to)];
  if (from.part === "Role") return null;
  const route = path(arrow, from, to, levels);
  const level = arrow.state?.level.toLowerCase();
  const tip = arrow.carries === "Writes" ? "accent" : ["good", "bad", "unknown"].includes(level) ? level : "plain";
  const points = route.points.map(([x, y]) => `${x},${y}`).join(" ");
  const spoken = `${arrow.carries} from ${from.name} to ${to.name}: ${arrow.text}`;
  const kind = `arrow ${arrow.carries.toLowerCase()} ${level ?? ""}`;
  const drawn = [
    // Where lines cross, the later one goes over the other; those to the tables are one line as far as they can.
    arrow.carries === "Data" ? null : shape("polyline", { class: "halo", points }),
    shape("polyline", { class: kind, points, "marker-end": `url(#tip-${tip})` }),
  ];
  const told = arrow.carries === "Replication";
  const [x, y] = route.label ?? [0, 0];
  const mark = arrow.state ? `${symbol(level)} ` : "";
  const text = route.label && arrow.text ? mark + cut(arrow.text, 34) : null;
  return {
    lines: shape("g", told ? { role: "img", "aria-label": spoken } : { "aria-hidden": "true" }, drawn),
    label: text && shape("text", { class: `label ${level ?? ""}`, x, y, "aria-hidden": "true" }, shape("title", {}, arrow.text), text),
  };
}

/** Where an arrow goes: up, down and sideways only. */
function path({ carries, text }, from, to, levels) {
  const bottom = (node) => node.top + node.height;
  const middle = (node) => node.top + node.height / 2;
  const side = (node, towards) => node.centre + Math.sign(towards.centre - node.centre) * (node.width / 2);
  const straight = (y, label) => ({ points: [[side(from, to), y], [side(to, from), y]], label });

  if (carries === "Replication") {
    const centre = (from.centre + to.centre) / 2;
    const back = from.centre > to.centre;
    const y = middle(from) + (from.part !== "Table" ? 0 : back ? 8 : -8);
    return straight(y, [centre, back ? y + 17 : y - 7]);
  }
  if (to.part === "Distribution") return straight(middle(from));
  if (from.part === "Code") return { points: [[from.centre, from.top], [to.centre, bottom(to)]] };
  if (to.part === "Table") {
    const between = (side(from, to) + side(to, from)) / 2;
    const y = middle(from) + 12;
    return { points: [[side(from, to), y], [between, y], [between, middle(to)], [side(to, from), middle(to)]] };
  }
  if (from.part === "Distribution") {
    const step = Math.sign(to.centre - from.centre);
    const start = from.centre + step * 60;
    const between = to.region ? levels.functions : bottom(from) + 20;
    const points = [[start, bottom(from)], [start, between], [to.centre, between], [to.centre, to.top]];
    // Without groups, both go the same way for a while.
    if (to.region) return { points, label: [to.centre + 12 + text.length * 3.6, between + 20] };
    const label = step === 0 ? [from.centre + 30, bottom(from) + 34] : [(start + to.centre) / 2, between - 6];
    if (step === 0) return { points: [points[0], points[3]], label };
    return { points, label };
  }
  const level = from.part === "EdgeFunction" ? "writes" : from.part === "FunctionGroup" ? "functions" : "statics";
  // Two arrows come to each function: each has its own place on it, and on the group that it comes from.
  const shift = { writes: 20, functions: -20, statics: 20 }[level];
  const end = to.centre + (level === "statics" && to.region === "Primary" ? 0 : shift);
  if (level !== "writes" && Math.abs(end - from.centre) < from.width / 2) {
    return { points: [[end, bottom(from)], [end, to.top]] };
  }
  const start = from.centre + Math.sign(to.centre - from.centre) * (level === "functions" ? 40 : 20);
  return { points: [[start, bottom(from)], [start, levels[level]], [end, levels[level]], [end, to.top]] };
}

function marker(kind) {
  return shape(
    "marker",
    {
      id: `tip-${kind}`, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 8, markerHeight: 8,
      markerUnits: "userSpaceOnUse", orient: "auto",
    },
    shape("path", { class: `tip ${kind}`, d: "M0 0L8 4L0 8z" }),
  );
}

/** What the lines mean. */
function legend(y) {
  const entries = [["requests", "requests"], ["failover", "failover"], ["writes", "writes"], ["replication", "replication"]];
  return shape(
    "g",
    { class: "legend", "aria-hidden": "true" },
    entries.map(([kind, text], number) => {
      const x = FRAME.Primary + number * 120;
      return [
        shape("polyline", { class: `arrow ${kind}`, points: `${x},${y - 4} ${x + 30},${y - 4}` }),
        shape("text", { x: x + 38, y }, text),
      ];
    }),
  );
}
