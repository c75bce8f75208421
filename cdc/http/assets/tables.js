/* The captured tables: searched, ordered and paged by the daemon, so that 5,000 cost what 20 cost. */
import { ask } from './api.js';
import { explain } from './controls.js';
import { $, html, paint } from './html.js';
import { count, NONE, plural, prose, state } from './words.js';

const PAGE = 20, REFRESH_MS = 2_000, TYPING_MS = 200;
const WORDS = { copying: 'Copying', waiting: 'Waits', live: 'Live', paused: 'Paused', skipped: 'Skipped', unfollowed: 'Not followed' };
const FILTERS = [['', 'All'], ['copying', 'Copying'], ['waiting', 'Waiting'], ['live', 'Live'], ['paused', 'Paused'], ['skipped', 'Skipped'], ['unfollowed', 'Not followed']];
const HEADS = ['Table', 'Source', 'State', 'Copy', 'Error or reason'];

const view = { search: '', state: '', order: 'attention', cursors: [''] };
let asked = 0;

export async function refreshTables() {
  const mine = ++asked;
  const query = new URLSearchParams({ search: view.search, order: view.order, limit: PAGE, cursor: view.cursors.at(-1) });
  if (view.state) query.set('state', view.state);
  const found = await ask(`tables?${query}`);
  if (mine === asked) show(found);
}

function show({ total, by_state: states, next, tables }) {
  const all = Object.values(states).reduce((a, b) => a + b, 0), before = (view.cursors.length - 1) * PAGE;
  $('#tabnote').textContent = plural(all, 'table');
  paint($('#chips'), FILTERS.filter(([name]) => !['paused', 'skipped', 'unfollowed'].includes(name) || states[name] || view.state === name)
    .map(([name, label]) => html`<button type="button" data-filter="${name}" aria-pressed="${view.state === name}">${label} ${count(name ? states[name] ?? 0 : all)}</button>`));
  paint($('#tabbody'), html`${tables.length ? html`<div role="table" aria-label="Tables" aria-rowcount="${total + 1}"><div role="rowgroup"><div class="trow thead" role="row">${HEADS.map(head => html`<span role="columnheader">${head}</span>`)}<span role="columnheader"><span class="sr">Controls</span></span></div></div>
    <div role="rowgroup">${tables.map((table, i) => row(table, before + i + 2))}</div></div>` : html`<p class="tnone">${view.search || view.state ? html`No table matches. <button type="button" class="btn quiet" data-do="clear">Show all</button>` : 'Tables are listed when the sources are connected.'}</p>`}
    ${total > PAGE ? html`<p class="tfoot"><span>${count(before + 1)} to ${count(before + tables.length)} of ${count(total)}</span> <button type="button" class="btn quiet" data-page="back" ${view.cursors.length === 1 ? html`disabled` : ''}>Previous</button><button type="button" class="btn quiet" data-page="${next ?? ''}" ${next ? '' : html`disabled`}>Next</button></p>` : ''}`);
}

const copyOf = ({ state: phase, reason, copied_rows: rows }) => phase === 'live' ? 'done' : phase === 'copying' ? `${plural(rows, 'row')} so far` : reason ?? NONE;

function row(table, index) {
  const { name, source, error } = table, gone = table.state === 'unfollowed';
  const note = error?.message ?? (gone ? table.reason : null);
  return html`<div class="trow ${note ? 'haserr' : ''} ${gone ? 'gone' : ''}" role="row" aria-rowindex="${index}" data-key="${source} ${name}"><span role="rowheader" class="c-t" title="${name}">${name}</span><span role="cell" class="c-src muted">${source}</span><span role="cell" class="c-s">${state(WORDS[table.state])}</span>
    <span role="cell" class="c-cp small muted">${gone ? NONE : copyOf(table)}</span>
    <span role="cell" class="c-err ${error ? 'bad' : 'muted'}" title="${note ?? ''}">${note ? prose(note) : NONE}</span>
    <span role="cell" class="c-act">${gone ? html`<button type="button" class="btn quiet small" data-do="explain" data-table="${name}" data-source="${source}" data-reason="${table.reason}" data-remedy="${table.remedy}" aria-label="Why ${name} is not followed">Why…</button>` : control(table)}</span></div>`;
}

function control({ name, source, state: phase }) {
  const [verb, text, label] = phase === 'paused' ? ['resume', 'Resume…', `Resume ${name}`] : ['snapshot', 'Copy again…', `Copy again: ${name}`];
  return html`<button type="button" class="btn quiet small" data-do="${verb}" data-name="${source}" data-kind="source" data-table="${name}" aria-label="${label}">${text}</button>`;
}

/* Why a table is not followed, and what can be done. */
export const explainTable = ({ table, source, reason, remedy }) => explain(`${table} of ${source} is not followed`, reason, remedy);

function change(values) {
  Object.assign(view, { cursors: [''] }, values);
  return refreshTables().catch(() => {});
}

export function clearSearch() {
  $('#q').value = '';
  return change({ search: '', state: '' });
}

export function startTables() {
  let typing;
  $('#q').addEventListener('input', event => { clearTimeout(typing); typing = setTimeout(() => change({ search: event.target.value.trim() }), TYPING_MS); });
  $('#order').addEventListener('change', event => change({ order: event.target.value }));
  $('#tables').addEventListener('click', event => {
    const button = event.target.closest('[data-filter],[data-page]');
    if (!button) return;
    if (button.dataset.filter !== undefined) change({ state: button.dataset.filter });
    else change({ cursors: button.dataset.page === 'back' ? view.cursors.slice(0, -1) : [...view.cursors, button.dataset.page] });
  });
  setInterval(() => { if (!document.hidden) refreshTables().catch(() => {}); }, REFRESH_MS);
}
