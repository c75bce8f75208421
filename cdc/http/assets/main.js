/* Puts the parts together: what comes from the daemon, clicks, keys and the theme. */
import { ask, watch } from './api.js';
import { History, paintCharts, paintLegends, redraw, resize, SPANS } from './charts.js';
import { CONTROLS, toast, unlock } from './controls.js';
import { showHelp } from './help.js';
import { $, html, paint } from './html.js';
import { paintEvents, refreshLists, turnSchemas } from './lists.js';
import { paintLag, paintProblems, paintSilence, paintVerdict } from './now.js';
import { paintPipeline } from './pipeline.js';
import { clearSearch, explainTable, refreshTables, startTables } from './tables.js';
import { age, clock, mark, span } from './words.js';

const LISTS_MS = 10_000, DAY_MS = 60_000, MOST_EVENTS = 100;
// The daemon says itself when its own figures are older than this: it hangs, or its disk does.
const OLD_SECONDS = 10;
let status = null, events = [];
const history = new History(SPANS.hour);
let day = null; // Of the last day, while charts show that.
const points = (name, many) => history.last(name, many);

function show(next) {
  // Another process: its events count from 1 again, and its page may be another one.
  if (status && status.version !== next.version) location.reload();
  const isFirst = status?.started_at !== next.started_at;
  if (isFirst) events = [];
  status = next;
  $('#inst').textContent = status.name;
  paint($('#live'), html`<span class="ok">${mark('ok')}</span> Live · ${clock(Date.now())} UTC`);
  $('#foot').textContent = `cdc ${status.version} · up ${span(Math.round(age(status.started_at)))} · times are UTC`;
  paintVerdict(status, status.verdict);
  if (isFirst) for (const id of ['now', 'flow', 'charts', 'tablegrid', 'lists']) $(`#${id}`).hidden = false;
  paintLag(status, points);
  paintProblems(status, events);
  paintPipeline(status);
  paintLegends(status);
  setStale(status.age_seconds > OLD_SECONDS);
  if (isFirst) fetchAll();
}

const SILENCE = 'Asked every 5 s. Below is what it said last. If this lasts, run `cdc status` on its machine.';

/* What is shown counts as past: grey, and nothing can be asked for. */
function setStale(isStale) {
  document.documentElement.classList.toggle('is-stale', isStale);
  for (const button of document.querySelectorAll('main [data-do],main [data-span],main [data-filter],main [data-page]')) button.disabled = isStale;
}

function silent(since) {
  if (!status) {
    $('#v-h').textContent = 'No answer from the daemon';
    return;
  }
  paintVerdict(status, { level: 'warn', mark: 'warn', title: 'No answer from the daemon', text: SILENCE, progress: null });
  paint($('#live'), html`<span class="warn">${mark('warn')}</span> <span>No answer for ${span(Math.round((Date.now() - since) / 1e3))}</span><button class="btn quiet" data-do="again">Try now</button>`);
  paintSilence();
  setStale(true);
}

function addEvent(event) {
  if (events.some(one => one.number === event.number)) return;
  events = [event, ...events].sort((a, b) => b.number - a.number).slice(0, MOST_EVENTS);
  paintEvents(events);
}

function addPoints(found) {
  history.add(found);
  draw();
}

function draw() {
  if (!status) return;
  paint($('#spans'), Object.entries(SPANS).map(([name, span]) => html`<button type="button" data-span="${name}" aria-pressed="${(day ? 'day' : 'hour') === name}">${span.button}</button>`));
  paintCharts(status, day ?? history);
}

/* A whole new one: its points are means of five minutes, and their ends move. */
async function fetchDay() {
  const found = new History(SPANS.day);
  found.add(await ask('history?window=24h'));
  if (day) day = found;
  draw();
}

function showSpan(name) {
  day = name === 'day' ? new History(SPANS.day) : null;
  if (day) fetchDay().catch(() => {});
  else draw();
}

function fetchAll() {
  paintEvents(events);
  ask('history?window=1h').then(addPoints).catch(() => {});
  refreshTables().catch(() => {});
  refreshLists(status.sinks).catch(() => {});
}

const feed = watch({ status: show, event: addEvent, point: addPoints, silent, refused: problem => unlock(problem, () => feed.start()) });
startTables();
setInterval(() => { if (status && !document.hidden) refreshLists(status.sinks).catch(() => {}); }, LISTS_MS);

setInterval(() => { if (day && !document.hidden) fetchDay().catch(() => {}); }, DAY_MS);

const stored = (name, otherwise) => { try { return localStorage[name] ?? otherwise; } catch { return otherwise; } };
const store = (name, value) => { try { localStorage[name] = value; } catch { /* A private window keeps nothing. */ } };
const keys = { on: stored('keys', '1') === '1', set(on) { this.on = on; store('keys', on ? '1' : '0'); } };

const THEMES = ['system', 'light', 'dark'];
let theme = stored('theme', 'system');
function setTheme(next) {
  theme = THEMES.includes(next) ? next : 'system';
  if (theme === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  store('theme', theme);
  $('#themename').textContent = theme[0].toUpperCase() + theme.slice(1);
  $('#theme').setAttribute('aria-label', `Theme: ${theme}`);
  redraw();
}
setTheme(theme);
matchMedia('(prefers-color-scheme:dark)').addEventListener('change', redraw);

function go(id) {
  const element = $(`#${id}`);
  if (element.closest('[hidden]')) return;
  element.setAttribute('tabindex', '-1');
  element.scrollIntoView({ block: 'start', behavior: matchMedia('(prefers-reduced-motion:reduce)').matches ? 'auto' : 'smooth' });
  element.focus({ preventScroll: true });
}

async function copy(button) {
  const text = button.dataset.copy;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without TLS a browser has no clipboard: the statement is selected instead.
    getSelection().selectAllChildren(button.previousElementSibling);
    toast('Selected: copy it with your keyboard.');
    return;
  }
  button.textContent = 'Copied';
  $('#say').textContent = 'Copied';
  setTimeout(() => { button.textContent = 'Copy'; }, 1600);
}

const ACTIONS = {
  again: () => feed.now(),
  clear: clearSearch,
  explain: (_, data) => explainTable(data),
  schemas: (_, data) => turnSchemas(data.turn).catch(() => {}),
  help: () => showHelp(keys),
  theme: () => setTheme(THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]),
};

document.addEventListener('click', event => {
  const target = event.target.closest('[data-do],[data-copy],[data-go],[data-span],.skip');
  if (!target) return;
  if (target.dataset.copy !== undefined) copy(target);
  else if (target.dataset.span) showSpan(target.dataset.span);
  else if (target.dataset.do) (ACTIONS[target.dataset.do] ?? CONTROLS[target.dataset.do])(status, target.dataset);
  else { event.preventDefault(); go(target.dataset.go ?? 'main'); }
});

const SHORTCUTS = {
  v: () => go('verdict'), l: () => go('lag'), p: () => go('problems'), d: () => go('pipeline'), c: () => go('charts'), e: () => go('events'),
  '/': () => { go('tables'); $('#q').focus(); },
  y: () => { const button = $('#probbody [data-copy]'); if (button) copy(button); },
  m: ACTIONS.theme, '?': ACTIONS.help,
};
document.addEventListener('keydown', event => {
  if (event.key === 'Escape' && event.target.id === 'q') clearSearch();
  if (!keys.on || event.ctrlKey || event.metaKey || event.altKey || event.target.matches('input,select,textarea') || $('#dlg').open) return;
  const act = SHORTCUTS[event.key];
  if (act) { event.preventDefault(); act(); }
});

let frame;
new ResizeObserver(() => {
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(() => { if (status) paintPipeline(status); resize(); });
}).observe($('main'));
