/* The last hour in buckets of thirty seconds, or the last day in buckets of five minutes. Colours are read when drawn: a
   theme is a redraw. */
import { $, html, paint } from './html.js';
import { pairsOf } from './now.js';
import { NONE, short, span } from './words.js';

const HOUR_MS = 3_600_000, HEIGHT = 176, LEAST_MS = 300_000;
export const SPANS = {
  hour: { name: 'last hour', button: '1 hour', ms: HOUR_MS, bucket: 30_000, first: 'a minute' },
  day: { name: 'last day', button: '24 hours', ms: 24 * HOUR_MS, bucket: 300_000, first: 'ten minutes' },
};
// More lines than this cannot be told apart: the least fresh sinks have them.
const MOST_SINKS = 3;
const LOOKS = [['--s1', []], ['--s2', []], ['--s3', [6, 3]]];

export class History {
  constructor(span) { this.span = span; this.points = new Map(); this.marks = []; }

  add({ at, series, marks }) {
    at.forEach((time, i) => {
      const point = {};
      for (const [name, values] of Object.entries(series)) if (values[i] != null) point[name] = values[i];
      this.points.set(Date.parse(time), point);
    });
    const oldest = Date.now() - this.span.ms;
    for (const time of this.points.keys()) if (time < oldest) this.points.delete(time);
    const known = new Set(this.marks.map(one => one.at + one.text));
    this.marks.push(...marks.filter(one => !known.has(one.at + one.text)));
    this.marks = this.marks.filter(one => Date.parse(one.at) >= oldest);
  }

  /* From when to when charts show it, in seconds: all of the span, or what there is of it. */
  window() {
    const now = Date.now(), first = Math.min(now - LEAST_MS, ...this.points.keys());
    return [Math.max(now - this.span.ms, first) / 1e3, now / 1e3];
  }

  last(name, many) {
    return [...this.points.keys()].sort((a, b) => a - b).slice(-many).map(time => this.points.get(time)[name]);
  }

  /* One value a bucket of what `of` makes of a point: null where no point has one. */
  buckets(of, join) {
    const found = new Map(), size = this.span.bucket;
    for (const time of [...this.points.keys()].sort((a, b) => a - b)) {
      const bucket = Math.floor(time / size), value = of(this.points.get(time));
      if (!found.has(bucket)) found.set(bucket, []);
      if (value != null) found.get(bucket).push(value);
    }
    return [...found].map(([bucket, values]) => [bucket * size / 1e3, values.length ? join(values) : null]);
  }
}

const mean = values => values.reduce((a, b) => a + b, 0) / values.length;
const max = values => Math.max(...values);
const sum = values => values.length ? values.reduce((a, b) => a + b, 0) : null;
const of = (names, join) => point => { const found = names.map(name => point[name]).filter(one => one != null); return found.length ? join(found) : null; };

const SECONDS = [0.1, 1, 10, 60, 600, 3600, 36_000, 360_000];
const POWERS = [1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8];
const CHARTS = [
  { id: 'thr', title: 'Throughput', unit: 'rows/s', field: 'rows_per_second', within: sum, join: mean, write: short },
  { id: 'fre', title: 'Freshness', unit: 'log scale', field: 'freshness_seconds', within: max, join: max, write: span, ticks: SECONDS, top: 100 },
  { id: 'beh', title: 'Rows behind', unit: 'log scale', field: 'behind_changes', within: sum, join: max, write: short, ticks: POWERS, top: 1e3 },
];
const tick = seconds => seconds < 60 ? `${seconds} s` : seconds < 3600 ? `${seconds / 60} min` : `${seconds / 3600} h`;
const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

let drawn = [], key = '';
export const redraw = () => drawn.forEach(one => one.plot.redraw(false));
export const resize = () => drawn.forEach(one => { const width = one.host.clientWidth; if (width && width !== one.plot.width) one.plot.setSize({ width, height: HEIGHT }); });

function linesOf(chart, status) {
  const pairs = pairsOf(status), worst = name => max([0, ...pairs.filter(pair => pair.sink === name).map(pair => pair.freshness_seconds ?? 0)]);
  let sinks = Object.keys(status.sinks);
  if (sinks.length > MOST_SINKS) sinks = sinks.sort((a, b) => worst(b) - worst(a)).slice(0, MOST_SINKS).sort();
  const lines = sinks.map((name, i) => ({ name, look: LOOKS[i], of: of(status.sinks[name].map(pair => `${name}.${pair.source}.${chart.field}`), chart.within) }));
  const read = { name: 'Read', look: ['--s4', []], area: true, of: of(Object.keys(status.sources).map(name => `${name}.rows_per_second`), sum) };
  return chart.id === 'thr' ? [read, ...lines] : lines;
}

export function paintCharts(status, history) {
  const charts = CHARTS.map(chart => ({ ...chart, lines: linesOf(chart, status) }));
  const has = history.buckets(() => 1, mean).length > 1;
  const now = `${history.span.name} ${has} ${charts.map(chart => chart.lines.map(line => line.name)).join()}`;
  if (now !== key) {
    key = now;
    drawn.forEach(one => one.plot.destroy());
    paint($('#chartgrid'), charts.map(chart => frame(chart, has, history.span)));
    drawn = has ? charts.map(chart => draw(chart, history)) : [];
    paintLegends(status);
  }
  charts.forEach((chart, i) => fill(chart, drawn[i], history));
}

const frame = (chart, has, span) => html`<figure class="panel" role="group" aria-labelledby="c-${chart.id}-h" data-key="${chart.id} ${span.name} ${has}"><header><h3 id="c-${chart.id}-h">${chart.title}</h3><span class="sp"></span><span class="small muted">${span.name}, ${chart.unit}</span></header>
  <div class="chart"><div class="legend">${chart.lines.map(line => html`<span><svg viewBox="0 0 18 8" aria-hidden="true">${line.area && html`<path d="M0 0H18V8H0z" fill="var(--area)"/>`}<path d="M0 ${line.area ? 1 : 4}H18" stroke="var(${line.look[0]})" stroke-width="2" stroke-dasharray="${line.look[1].join(' ')}"/></svg>${line.name} <b data-leg="${chart.id}.${line.name}">${NONE}</b></span>`)}</div>
  <div class="plot" data-own id="c-${chart.id}">${has ? '' : html`<div class="none">The first points come within ${span.first}</div>`}</div></div></figure>`;

/* The present values, as the status has them. */
export function paintLegends(status) {
  const point = {};
  for (const [name, source] of Object.entries(status.sources)) point[`${name}.rows_per_second`] = source.rows_per_second;
  for (const pair of pairsOf(status)) for (const { field } of CHARTS) point[`${pair.sink}.${pair.source}.${field}`] = pair[field];
  for (const one of drawn) {
    one.latest = one.chart.lines.map(line => line.of(point));
    one.host.setAttribute('role', 'img');
    one.host.setAttribute('aria-label', `${one.chart.title} of the ${one.span.name}, now: ${one.chart.lines.map((line, i) => `${line.name} ${one.chart.write(one.latest[i])}`).join(', ')}`);
    follow(one);
  }
}

function fill(chart, one, history) {
  const rows = chart.lines.map(line => history.buckets(line.of, chart.join));
  const values = rows.map(line => line.map(([, value]) => value));
  if (!one) return;
  one.values = values;
  // A logarithm has no zero.
  const lowest = chart.ticks?.[0] ?? 0;
  one.plot.setData([rows[0]?.map(([time]) => time) ?? [], ...values.map(line => line.map(value => value == null ? null : Math.max(lowest, value)))]);
}

function draw(chart, history) {
  const host = $(`#c-${chart.id}`), one = { chart, host, span: history.span, values: [], latest: [] };
  const axis = { stroke: () => css('--muted'), grid: { stroke: () => css('--line'), width: 1 }, ticks: { show: false }, font: `11px ${css('--f')}` };
  const scale = chart.ticks ? { distr: 3, range: (_, low, high) => [chart.ticks[0], Math.max(chart.top, 10 ** Math.ceil(Math.log10(high || 1)))] } : { range: (_, low, high) => [0, Math.max(10, high * 1.08)] };
  const y = chart.ticks ? { splits: plot => chart.ticks.filter(value => value <= plot.scales.y.max), filter: (_, values) => values, values: (_, values) => values.map(value => chart.id === 'fre' ? tick(value) : short(value)) } : { values: (_, values) => values.map(short) };
  one.plot = new window.uPlot({
    width: host.clientWidth, height: HEIGHT, tzDate: time => window.uPlot.tzDate(new Date(time * 1e3), 'Etc/UTC'), legend: { show: false }, padding: [8, 10, 0, 0],
    cursor: { sync: { key: 'hour' }, points: { size: 6 }, drag: { x: false, y: false } },
    scales: { x: { time: true, range: () => history.window() }, y: scale },
    axes: [{ ...axis, space: 64, size: 26, grid: { show: false }, values: (_, times) => times.map(time => new Date(time * 1e3).toISOString().slice(11, 16)) }, { ...axis, size: 46, space: 32, ...y }],
    series: [{}, ...chart.lines.map(line => ({ label: line.name, stroke: () => css(line.look[0]), width: line.area ? 1 : 1.6, fill: line.area ? () => css('--area') : undefined, dash: line.look[1], points: { show: false } }))],
    hooks: { drawAxes: [plot => drawMarks(plot, history.marks)], setCursor: [() => follow(one)] },
  }, [[], ...chart.lines.map(() => [])], host);
  return one;
}

/* The legend shows what is under the pointer, else the present. */
function follow({ chart, plot, values, latest }) {
  const index = plot?.cursor.idx;
  chart.lines.forEach((line, i) => { $(`[data-leg="${CSS.escape(`${chart.id}.${line.name}`)}"]`).textContent = chart.write(index == null ? latest[i] : values[i]?.[index]); });
}

// Texts need this many pixels; of marks that are closer, only the first one has its text.
const MARK_PIXELS = 90, MARK_LETTERS = 24;

function drawMarks(plot, marks) {
  const { ctx, bbox } = plot, ratio = devicePixelRatio;
  let taken = -Infinity;
  for (const { at, text } of marks) {
    const x = Math.round(plot.valToPos(Date.parse(at) / 1e3, 'x', true));
    if (x < bbox.left) continue;
    ctx.save();
    ctx.strokeStyle = css('--line-strong');
    ctx.setLineDash([3 * ratio, 3 * ratio]);
    ctx.lineWidth = ratio;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    if (x - taken > MARK_PIXELS * ratio) {
      taken = x;
      const left = x > bbox.left + bbox.width * 0.6;
      ctx.fillStyle = css('--muted');
      ctx.font = `${11 * ratio}px ${css('--f')}`;
      ctx.textAlign = left ? 'right' : 'left';
      ctx.textBaseline = 'top';
      ctx.fillText(text.split(':')[0].slice(0, MARK_LETTERS), x + (left ? -4 : 4) * ratio, bbox.top);
    }
    ctx.restore();
  }
}
