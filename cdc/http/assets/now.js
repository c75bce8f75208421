/* Verdict, facts, lag by sink and source, and what to do now. */
import { $, html, paint } from './html.js';
import { about, age, bar, clock, count, mark, NONE, prose, rate, reserve, SIGNS, size, span, state, statement, statements, urgency, when } from './words.js';

export const pairsOf = status => Object.entries(status.sinks).flatMap(([sink, pairs]) => pairs.map(pair => ({ sink, ...pair })));
const most = (values, of) => values.reduce((a, b) => (of(b) ?? -1) > (of(a) ?? -1) ? b : a, values[0]);
const total = (values, of) => values.reduce((sum, one) => sum + (of(one) ?? 0), 0);

export function paintVerdict(status, verdict) {
  const { level, title, text, progress } = verdict;
  document.title = `${SIGNS[verdict.mark]} ${title} · cdc`;
  paint($('#verdict'), html`<div class="say"><span class="${level}">${mark(verdict.mark)}</span><h1 id="v-h">${title}</h1>
    <p>${prose(text)}${problemsOf(status).length || level === 'warn' ? html` <a class="nowrap" href="#problems" data-go="problems">What to do</a>` : ''}</p>
    ${progress == null ? '' : bar(progress, title)}</div>
    <dl class="facts">${facts(status).map(([name, value, note]) => html`<div><dt>${name}</dt><dd><span class="num">${value}</span><small>${note}</small></dd></div>`)}</dl>`);
  announce(level, `${title}. ${text}`, title);
}

let said = '';
function announce(level, sentence, title) {
  // Figures in a title or text change every second; only another state is worth interrupting for.
  const news = `${level} ${title.replace(/\d+/g, '')}`;
  if (news === said) return;
  said = news;
  (level === 'bad' ? $('#shout') : $('#say')).textContent = sentence;
}

function facts(status) {
  const pairs = pairsOf(status), sources = Object.values(status.sources), room = status.resources;
  const least = most(pairs.filter(one => one.freshness_seconds != null), one => one.freshness_seconds);
  return [
    ['Least fresh', span(least?.freshness_seconds), least ? `${least.sink}${flushes(least, ', ')}` : 'no data yet'],
    ['Read', rate(total(sources, one => one.rows_per_second)), `${size(total(sources, one => one.bytes_per_second))}/s`],
    ['Room in log', room.log_full_in_seconds == null ? size(room.disk_free_bytes) : reserve(room.log_full_in_seconds), `${size(room.log_bytes)} used`],
    ['Memory', size(room.memory_bytes), `of ${size(room.memory_limit_bytes)}`],
  ];
}

/* What waits for a slow flush is not behind: from this interval on, it is said. */
const SLOW_FLUSH_SECONDS = 10;
const flushes = ({ flush_interval_seconds: seconds }, before) => seconds >= SLOW_FLUSH_SECONDS ? `${before}flushes every ${span(seconds)}` : '';

/* A changed file that is not in force. */
const isPending = ({ configuration: one }) => one && (one.refused || one.changed);

const isHot = word => word === 'Down' || word === 'Needs you';

function trend(pair) {
  if (pair.paused) return ['muted', '↗ while paused'];
  if (pair.waits_for) return ['muted', `waits for ${pair.waits_for}`];
  if (pair.trend === 'better') return ['busy', `↘ ${about(pair.caught_up_in_seconds)} left`];
  if (pair.trend === 'worse') return [pair.word === 'Up to date' ? 'muted' : isHot(pair.word) ? 'bad' : 'warn', `↗ growing ${pair.trend_per_second.toFixed(1)} s/s`];
  return ['muted', pair.trend === 'steady' ? '→ steady' : 'no trend yet'];
}

function spark(points, pair) {
  const values = points(`${pair.sink}.${pair.source}.freshness_seconds`, 60), known = values.filter(value => value != null);
  if (known.length < 2) return html`<svg class="spark" viewBox="0 0 120 28" aria-hidden="true"></svg>`;
  const low = Math.log(0.5), high = Math.log(Math.max(120, ...known) * 1.1);
  const y = value => 26 - (Math.log(Math.max(0.5, value)) - low) / (high - low) * 24;
  const line = values.map((value, i) => value == null ? '' : `${(119 - (values.length - 1 - i) * 2).toFixed(1)},${y(value).toFixed(1)}`).join(' ');
  return html`<svg class="spark" viewBox="0 0 120 28" preserveAspectRatio="none" aria-hidden="true"><path d="M1 27.5H119" stroke="var(--line)" vector-effect="non-scaling-stroke"/><polyline class="${isHot(pair.word) ? 'hot' : ''}" points="${line}" fill="none" stroke-width="1.4" vector-effect="non-scaling-stroke" stroke-linejoin="round"/></svg>`;
}

const HEADS = [['Sink from source', ''], ['State', ''], ['Freshness and trend', ''], ['Rows behind', 'r'], ['Bytes', 'r'], ['Last 10 min', '']];

export function paintLag(status, points) {
  const pairs = pairsOf(status).sort((a, b) => urgency(a.word) - urgency(b.word));
  paint($('#lagbody'), html`<table class="lag" role="table" aria-labelledby="lag-h"><thead role="rowgroup"><tr role="row">
    ${HEADS.map(([head, side]) => html`<th scope="col" role="columnheader" class="${side}">${head}</th>`)}<th scope="col" role="columnheader" class="r"><span class="sr">Controls</span></th></tr></thead>
    <tbody role="rowgroup">${pairs.map(pair => lagRow(pair, points))}</tbody></table>`);
}

function lagRow(pair, points) {
  const { sink, source, word } = pair, [colour, text] = trend(pair), verb = pair.paused ? 'Resume' : 'Pause';
  return html`<tr role="row" data-key="${sink} ${source}" class="${isHot(word) ? 'hot' : ''}">
    <th role="rowheader" scope="row" class="c-name name"><b>${sink}</b><span>from ${source} · ${pair.type}${pair.mode ? ` ${pair.mode}` : ''}${flushes(pair, ' · ')}</span></th>
    <td role="cell" class="c-state">${state(word)}</td>
    <td role="cell" class="c-fresh"><span class="fresh num">${span(pair.freshness_seconds)}</span><span class="trend ${colour}" title="${text}">${text}</span></td>
    <td role="cell" class="r c-rows num">${count(pair.behind_changes)}</td><td role="cell" class="r c-bytes num">${size(pair.behind_bytes)}</td>
    <td role="cell" class="c-spark">${spark(points, pair)}</td>
    <td role="cell" class="act"><button class="btn quiet" data-do="${verb.toLowerCase()}" data-kind="sink" data-name="${sink}" aria-label="${verb} ${sink}">${verb}…</button><button class="btn quiet" data-do="replay" data-name="${sink}" data-source="${source}" aria-label="Replay ${sink} from ${source}">Replay…</button></td></tr>`;
}

/* Every present error with what it concerns: those of sources, of sinks, of tables that are skipped, of logs. */
export function problemsOf(status) {
  const found = [];
  const take = (kind, name, part, tables, place) => {
    if (part.error && !tables.some(one => one.message === part.error.message)) found.push({ ...part.error, kind_: kind, name, place, paused: part.paused });
    for (const one of tables) found.push({ ...one, kind_: kind, name, place, paused: part.paused, needs_operator: true });
  };
  for (const [name, source] of Object.entries(status.sources)) {
    take('source', name, source, source.refused ?? [], `sources.${name}`);
    if (source.log?.error && source.log.error.kind !== source.error?.kind) found.push({ ...source.log.error, kind_: 'source', name, place: `the log of ${name}`, title: `The log of ${name} cannot be read`, needs_operator: true });
  }
  for (const pair of pairsOf(status)) take('sink', pair.sink, pair, pair.set_aside ?? [], `sinks.${pair.sink} from ${pair.source}`);
  const refused = status.configuration?.refused;
  if (refused) found.push({ ...refused, kind_: 'file', place: 'the configuration', title: 'A changed configuration was refused', needs_operator: false, keeps: 'The one before stays in force until the next reload.' });
  return found.sort((a, b) => b.needs_operator - a.needs_operator);
}

// More of one kind would push everything else from the screen.
const MOST = 5;

export function paintProblems(status, events) {
  const problems = problemsOf(status);
  const rest = problems.length - MOST;
  paint($('#probbody'), problems.length
    ? html`${problems.slice(0, MOST).map(problem)}${rest > 0 ? html`<p class="prob muted" data-key="rest">And ${count(rest)} more: <code>cdc status</code> lists all.</p>` : ''}`
    : calm(status, events));
}

/* A remedy that says so needs no other word that nothing is to do. */
const RETRIED = 'retried automatically';

function problem(one, i) {
  const id = `p-${i}`, retried = one.retry_seconds != null && !one.needs_operator;
  const left = one.next_try_at ? Math.max(0, -age(one.next_try_at)) : null;
  return html`<article class="prob" data-key="${one.place} ${one.table ?? ''}" aria-labelledby="${id}"><div class="l"><h3 id="${id}"><span class="${retried ? 'warn' : 'bad'}">${mark(retried ? 'warn' : 'bad')}</span>${one.title}</h3>
    <p class="meta"><code>${one.kind}</code> · ${one.place}${one.since ? html` · since ${clock(one.since)}, <span class="num">${span(Math.round(age(one.since)))}</span>` : ''}</p><p class="msg">${prose(one.message)}</p></div>
    <div class="d">${one.remedy ? html`<ol class="steps"><li><div class="where">${prose(one.remedy)}</div>${statements(one.remedy).map(text => statement(text))}</li></ol>` : ''}
    <p class="then">${retried ? html`${one.remedy?.includes(RETRIED) ? '' : html`<b>Then nothing.</b> `}It is tried again ${left == null ? 'by itself' : left < 0.5 ? 'now' : html`in <span class="num">${span(Math.round(left))}</span>`} (attempt <span class="num">${count(one.attempts)}</span>), and continues where it stopped.`
      : one.keeps ? one.keeps : one.table ? html`The other tables are not affected.` : html`It stays stopped until then.`}</p>
    <div class="acts">${one.paused || one.table || one.keeps ? '' : html`<button class="btn quiet" data-do="pause" data-kind="${one.kind_}" data-name="${one.name}">Pause ${one.name}…</button>`}${one.docs ? html`<span class="small muted">Runbook: <code>cdc docs ${one.docs}</code></span>` : ''}</div></div></article>`;
}

/* While nothing is heard, what is known is past. */
export function paintSilence() {
  paint($('#probbody'), html`<article class="prob" data-key="silence" aria-labelledby="p-s"><div class="l"><h3 id="p-s"><span class="warn">${mark('warn')}</span>The daemon does not answer</h3>
    <p class="msg">It was stopped or killed, it hangs, or this browser cannot reach it. Whether something else needs you is not known.</p></div>
    <div class="d"><ol class="steps"><li><div class="where">On its machine, run</div>${statement('cdc status')}</li></ol><p class="then">This page asks again every 5 s, and goes on by itself.</p></div></article>`);
}

function calm(status, events) {
  const pauses = [...Object.entries(status.sources).map(([name, one]) => ['source', name, one.paused]), ...Object.entries(status.sinks).map(([name, [one]]) => ['sink', name, one?.paused])].filter(([, , paused]) => paused);
  const last = events.find(one => one.level === 'error' || one.level === 'warning');
  const room = status.resources, full = room.log_full_in_seconds;
  const file = status.configuration;
  const rows = [
    ['Last warning', last ? `${when(last.at)} · ${last.event}` : 'none since the start'],
    ['Started', `${when(status.started_at)} · version ${status.version}`],
    ...(file ? [['Configuration', `${isPending(status) ? 'the file has changed since' : 'loaded'} ${when(file.loaded_at)}`]] : []),
    ['Log on disk', `${size(room.log_bytes)}${full == null ? '' : `, room for ${reserve(full)} at this rate`}`],
    ['Disk', `${size(room.disk_free_bytes)} free`],
  ];
  return html`<div class="calm"><p><span class="st">${mark('ok')}${pauses.length ? `Nothing has failed. Resume ${pauses.map(([, name]) => name).join(', ')} when you are done.` : 'Nothing needs you.'}</span></p>
    ${pauses.length ? html`<p class="again">${pauses.map(([kind, name]) => html`<button class="btn quiet" data-do="resume" data-kind="${kind}" data-name="${name}">Resume ${name}…</button>`)}</p>` : ''}
    <dl>${rows.map(([name, text]) => html`<div><dt>${name}</dt><dd>${text || NONE}</dd></div>`)}</dl></div>`;
}
