/* Checkpoints, schema history and recent events. */
import { ask } from './api.js';
import { $, html, paint } from './html.js';
import { count, mark, NONE, plural, when } from './words.js';

const ROWS = 5;
const TONES = { error: ['bad', 'bad'], warning: ['warn', 'warn'] };

export let checkpoints = [];

export async function refreshLists(sinks) {
  const [points] = await Promise.all([ask('checkpoints?limit=100'), refreshSchemas()]);
  checkpoints = points.checkpoints.filter(point => point.in_log);
  paint($('#checkpoints'), checkpoints.length ? checkpoints.slice(0, ROWS).map(point => html`<li data-key="${point.id}"><span class="id mono">${point.id}</span><span>${when(point.at)} ${point.source}<span class="sub mono" title="${point.position}">${point.position}</span></span>${replayButton(point, sinks)}</li>`) : html`<li class="nothing">None yet.</li>`);
}

// Of the pages before the shown one, and of that: where each begins.
let cursors = [''], next = null;

async function refreshSchemas() {
  const mine = cursors;
  const query = new URLSearchParams({ limit: ROWS, ...(cursors.at(-1) ? { cursor: cursors.at(-1) } : {}) });
  const found = await ask(`schema-history?${query}`);
  if (mine !== cursors) return;
  next = found.next;
  paint($('#schemas'), found.schemas.length ? found.schemas.map(definition) : html`<li class="nothing">No table has been read yet.</li>`);
  paint($('#schemapages'), cursors.length > 1 || next ? html`<button type="button" class="btn quiet small" data-do="schemas" data-turn="newer" ${cursors.length > 1 ? '' : html`disabled`} aria-label="Newer definitions">Newer</button><button type="button" class="btn quiet small" data-do="schemas" data-turn="older" ${next ? '' : html`disabled`} aria-label="Older definitions">Older</button>` : '');
}

export function turnSchemas(way) {
  cursors = way === 'older' ? [...cursors, next] : cursors.slice(0, -1);
  return refreshSchemas();
}

function definition(one) {
  const shape = `${plural(one.columns.length, 'column')}, ${one.key.length ? `key ${one.key.join(', ')}` : 'no key'}`;
  const note = one.changes.length ? one.changes.join(' · ') : one.is_first ? shape : `As before: ${shape}`;
  const place = one.position ? `At ${one.position}: ` : '';
  return html`<li data-key="${one.source} ${one.name} ${one.version} ${one.at ?? ''}"><time>${one.at ? when(one.at) : NONE}</time><span><b class="name">${one.name}</b> of ${one.source}<span class="sub" title="${place}${note}">${note}</span></span><span class="muted num">v${count(one.version)}</span></li>`;
}

function replayButton(point, sinks) {
  const sink = Object.keys(sinks).find(name => sinks[name].some(pair => pair.source === point.source));
  return sink && html`<button class="btn quiet small" data-do="replay" data-name="${sink}" data-source="${point.source}" data-place="${point.id}" aria-label="Replay from ${point.id}">Replay from…</button>`;
}

export function paintEvents(events) {
  paint($('#eventlist'), events.length ? events.slice(0, ROWS).map(event => {
    const [colour, shape] = TONES[event.level] ?? ['off', 'off'];
    const subject = [event.source, event.sink, event.table, event.where].filter(Boolean).join(', '), note = [subject, event.kind ?? event.error].filter(Boolean).join(' · ');
    return html`<li data-key="${event.number}"><time>${when(event.at)}</time><span>${colour === 'off' ? '' : html`<span class="${colour}">${mark(shape)}</span> `}${event.event}<span class="sub" title="${note}">${note}</span></span></li>`;
  }) : html`<li class="nothing">None yet.</li>`);
}

