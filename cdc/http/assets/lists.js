/* Checkpoints, schemas and recent events. */
import { ask } from './api.js';
import { $, html, paint } from './html.js';
import { count, mark, plural, when } from './words.js';

const ROWS = 5;
const TONES = { error: ['bad', 'bad'], warning: ['warn', 'warn'] };

export let checkpoints = [];

export async function refreshLists(sinks) {
  const [points, tables] = await Promise.all([ask('checkpoints?limit=100'), ask('schema-history?limit=1000')]);
  checkpoints = points.checkpoints.filter(point => point.in_log);
  paint($('#checkpoints'), checkpoints.length ? checkpoints.slice(0, ROWS).map(point => html`<li data-key="${point.id}"><span class="id mono">${point.id}</span><span>${when(point.at)} ${point.source}<span class="sub mono" title="${point.position}">${point.position}</span></span>${replayButton(point, sinks)}</li>`) : html`<li class="nothing">None yet.</li>`);
  // A table that was altered is what one looks for.
  const schemas = tables.schemas.sort((a, b) => b.version - a.version || (a.name < b.name ? -1 : 1));
  paint($('#schemas'), schemas.length ? schemas.slice(0, ROWS).map(table => html`<li data-key="${table.source} ${table.name}"><span class="id">v${count(table.version)}</span><span><b class="name">${table.name}</b> of ${table.source}<span class="sub">${plural(table.columns.length, 'column')}, ${table.key.length ? `key ${table.key.join(', ')}` : 'no key'}</span></span></li>`) : html`<li class="nothing">No table has been read yet.</li>`);
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

