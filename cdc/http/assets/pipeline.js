/* Sources, their logs and the sinks as they are. The nodes are HTML; edges are drawn from where the nodes are. */
import { $, html, paint } from './html.js';
import { pairsOf } from './now.js';
import { about, NONE, rate, sign, size, span, tone, urgency } from './words.js';

// Above this many sinks, those that are well share one node.
const MOST_SINKS = 6;
const isBad = word => word === 'Down' || word === 'Needs you';
const nodeTone = word => isBad(word) ? 'bad' : tone(word) === 'off' ? 'off' : 'ok';

export function flowOf(pair) {
  if (isBad(pair.word)) return 'stopped';
  if (pair.paused) return 'paused';
  if (pair.waits_for) return 'waits';
  return pair.rows_per_second == null ? 'no rate yet' : rate(pair.rows_per_second);
}

function sinkNodes(status) {
  const nodes = Object.entries(status.sinks).map(([name, pairs]) => {
    const all = pairs.map(pair => ({ sink: name, ...pair }));
    return { name, all, worst: [...all].sort((a, b) => urgency(a.word) - urgency(b.word))[0] };
  });
  if (nodes.length <= MOST_SINKS) return nodes;
  const well = nodes.filter(one => one.worst.word === 'Up to date');
  if (well.length < 2) return nodes;
  const sum = new Map();
  for (const pair of well.flatMap(one => one.all)) {
    const one = sum.get(pair.source) ?? { ...pair, sink: '*', rows_per_second: 0 };
    one.rows_per_second += pair.rows_per_second ?? 0;
    sum.set(pair.source, one);
  }
  return [...nodes.filter(one => !well.includes(one)), { name: `${well.length} sinks`, all: [...sum.values()], worst: well[0].worst }];
}

export function paintPipeline(status) {
  const sources = Object.entries(status.sources), sinks = sinkNodes(status);
  const flows = [...sources.map(([name, one]) => `${name} to its log: ${rate(one.rows_per_second)}`), ...pairsOf(status).map(pair => `log of ${pair.source} to ${pair.sink}: ${flowOf(pair)}`)];
  paint($('#pipebody'), html`<div class="pipe"><svg class="edges" data-own role="img" aria-label="${flows.join('; ')}"></svg>
    <div class="col">${sources.map(([name, one]) => sourceNode(name, one))}</div>
    <div class="col logs">${sources.map(([name, one]) => html`<div class="node" data-key="l.${name}" data-n="l.${name}"><h3>Log of ${name}<span class="meta">${one.log?.bytes ? size(one.log.bytes) + (one.kept_seconds == null ? '' : `, ${span(one.kept_seconds)} kept`) : 'empty'}</span></h3>${tape(name, one, status)}</div>`)}</div>
    <div class="col snks">${sinks.map(sinkNode)}</div></div>`);
  drawEdges(status, sinks.flatMap(one => one.all));
}

function sourceNode(name, one) {
  const verb = one.paused ? 'Resume' : 'Pause', copy = one.snapshot;
  const what = one.word === 'Copying' && copy ? html`Copying, <b>${copy.percent} %</b>${copy.remaining_seconds == null ? '' : `, ${about(copy.remaining_seconds)} left`}`
    : one.behind_bytes == null || one.error ? one.word : html`${one.word}, <b>${size(one.behind_bytes)}</b> not read yet`;
  const place = one.retained_bytes != null && !one.error ? `Server keeps ${size(one.retained_bytes)} for it` : one.position ? `At ${one.position}` : 'No position yet';
  return html`<div class="node ${nodeTone(one.word)}" data-key="s.${name}" data-n="s.${name}"><h3>${sign(one.word)}${name}<span class="meta">${one.type}</span></h3><p>${what}</p><p title="${place}">${place}</p>
    <div class="acts"><button class="btn quiet small" data-do="${verb.toLowerCase()}" data-kind="source" data-name="${name}" aria-label="${verb} source ${name}">${verb}…</button><button class="btn quiet small" data-do="snapshot" data-name="${name}" aria-label="Copy tables of ${name} again">Copy tables…</button></div></div>`;
}

function sinkNode({ name, all, worst }) {
  return html`<div class="node ${nodeTone(worst.word)}" data-key="k.${name}"><h3>${sign(worst.word)}${name}<span class="meta">${all[0].sink === '*' ? worst.word : worst.type}</span></h3>
    ${all.map(pair => html`<div class="port" data-key="${pair.source}" data-n="p.${pair.sink}.${pair.source}"><span>from ${pair.source}</span><span class="rate ${isBad(pair.word) ? 'bad' : ''}">${flowOf(pair)}</span></div>`)}</div>`;
}

/* The log on a logarithmic axis of its age, with a flag at the place of each sink. */
function tape(name, source, status) {
  const width = innerWidth > 1240 ? 374 : innerWidth > 980 ? 274 : Math.max(240, innerWidth - 84);
  const pairs = pairsOf(status).filter(pair => pair.source === name && pair.freshness_seconds != null);
  const places = pairs.map(pair => `${pair.sink} ${span(pair.freshness_seconds)} behind`).join(', ') || 'not known yet';
  const frame = inner => html`<svg class="tape" viewBox="0 0 ${width} 66" role="img" aria-label="Place of each sink in the log of ${name}: ${places}"><rect x="8" y="17" width="${width - 16}" height="7" rx="2" fill="var(--sunken)" stroke="var(--line)"/>${inner}</svg>`;
  if (source.kept_seconds == null) return frame(html`<text x="8" y="11">empty</text>`);
  const most = Math.max(600, source.kept_seconds);
  const x = seconds => width - 8 - Math.log10(1 + Math.min(seconds, most)) / Math.log10(1 + most) * (width - 16);
  const ticks = [[0, 'now'], [60, '1 min'], [3600, '1 h'], [86400, '1 d'], [most, span(most).split('\u00a0').slice(0, 2).join('\u00a0')]].filter(([at], i, all) => i === all.length - 1 || at < most * 0.55);
  const scale = ticks.map(([at, text]) => html`<path d="M${x(at)} 14v12" stroke="var(--line-strong)"/><text x="${x(at)}" y="10" text-anchor="${at === 0 ? 'end' : at === most ? 'start' : 'middle'}">${text}</text>`);
  return frame([scale, flags(pairs, x)]);
}

// The one most behind comes first, its text left of its pole, so that no pole crosses a text.
function flags(pairs, x) {
  const rows = [];
  return [...pairs].sort((a, b) => b.freshness_seconds - a.freshness_seconds).map(pair => {
    // A sink that waits for its source has all that the log has.
    const at = x(pair.waits_for ? 0 : pair.freshness_seconds), wide = pair.sink.length * 6.4 + 8, right = at - wide < 0;
    let row = 0;
    for (const [end, taken] of rows) if (end > (right ? at : at - wide)) row = Math.max(row, taken + 1);
    row = Math.min(row, 2);
    rows.push([right ? at + wide : at, row]);
    const kind = isBad(pair.word) ? 'bad' : pair.word === 'Replaying' ? 'busy' : 'n', y = 38 + row * 13;
    return html`<path class="pole ${kind}" d="M${at} 22V${y}"/><path class="flag ${kind}" d="M${at - 4} 16.5h8l-4 6z"/><text class="${kind}" x="${right ? at + 4 : at - 4}" y="${y}" text-anchor="${right ? 'start' : 'end'}">${pair.sink}</text>`;
  });
}

const thickness = rows => rows ? Math.min(3.2, 1 + Math.log10(1 + rows) / 2.6) : 1.2;

function drawEdges(status, pairs) {
  const box = $('.pipe'), svg = box.querySelector('.edges');
  if (innerWidth <= 980) return;
  const frame = box.getBoundingClientRect();
  const at = (key, side) => {
    const element = box.querySelector(`[data-n="${CSS.escape(key)}"]`), place = element.getBoundingClientRect();
    const host = (element.closest('.node') ?? element).getBoundingClientRect();
    return [(side === 'right' ? host.right : host.left) - frame.left, place.top + place.height / 2 - frame.top];
  };
  const lines = [], texts = [];
  const edge = ([ax, ay], [bx, by], kind, rows, run) => {
    const end = bx - 7, bend = end - run * (end - ax), middle = (ax + bend) / 2;
    lines.push(html`<path class="${kind}" stroke-width="${thickness(rows)}" d="M${ax} ${ay}C${middle} ${ay} ${middle} ${by} ${bend} ${by}H${end}"/><path class="head ${kind}" d="M${bx - 1} ${by}l-8 -4v8z"/>`);
    return end;
  };
  for (const [name, one] of Object.entries(status.sources)) {
    const kind = isBad(one.word) ? 'bad' : one.word === 'Copying' ? 'busy' : tone(one.word) === 'off' ? 'off' : '';
    const a = at(`s.${name}`, 'right'), b = at(`l.${name}`, 'left'), x = (a[0] + b[0]) / 2 - 3, y = (a[1] + b[1]) / 2;
    edge(a, b, kind, one.rows_per_second, 0);
    const text = kind === 'bad' ? (one.word === 'Down' ? 'no connection' : 'stopped') : one.paused ? 'paused' : one.word === 'Connecting' ? NONE : rate(one.rows_per_second);
    texts.push(html`<text class="${kind}" x="${x}" y="${y - 9}" text-anchor="middle">${text}</text>`);
    if (one.bytes_per_second && b[0] - a[0] >= 150) texts.push(html`<text class="minor" x="${x}" y="${y + 18}" text-anchor="middle">${size(one.bytes_per_second)}/s</text>`);
  }
  for (const pair of pairs) {
    const kind = isBad(pair.word) ? 'bad' : pair.word === 'Replaying' ? 'busy' : tone(pair.word) === 'off' ? 'off' : '';
    const b = at(`p.${pair.sink}.${pair.source}`, 'left');
    const end = edge(at(`l.${pair.source}`, 'right'), b, kind, pair.rows_per_second, 0.5);
    texts.push(html`<text class="${kind}" x="${end - 8}" y="${b[1] - 6}" text-anchor="end">${flowOf(pair)}</text>`);
  }
  paint(svg, [lines, texts]);
}
export const redrawEdges = status => drawEdges(status, sinkNodes(status).flatMap(one => one.all));
