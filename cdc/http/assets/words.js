/* Figures, times and marks as the terminal writes them. */
import { html } from './html.js';

const NBSP = '\u00a0';
export const NONE = '–';
export const count = n => n == null ? NONE : Math.round(n).toLocaleString('en-US');
export const rate = n => n == null ? NONE : `${count(n)}${NBSP}rows/s`;
export const plural = (n, noun) => `${count(n)}${NBSP}${noun}${n === 1 ? '' : 's'}`;

export function span(seconds) {
  if (seconds == null) return NONE;
  if (seconds < 9.95) return `${seconds.toFixed(1)}${NBSP}s`;
  const s = Math.round(seconds);
  const two = (a, unit, b, small) => `${a}${NBSP}${unit}${b ? `${NBSP}${b}${NBSP}${small}` : ''}`;
  if (s < 60) return `${s}${NBSP}s`;
  if (s < 3600) return two(Math.floor(s / 60), 'min', s % 60, 's');
  if (s < 86400) return two(Math.floor(s / 3600), 'h', Math.floor(s % 3600 / 60), 'min');
  return two(Math.floor(s / 86400), 'd', Math.floor(s % 86400 / 3600), 'h');
}

/* An estimate, without seconds where there are minutes. */
export const about = s => s == null ? NONE : `about ${s < 90 ? `${Math.round(s)}${NBSP}s` : span(Math.round(s / 60) * 60)}`;
/* Room or reserves: years say as much as "plenty" does. */
export const reserve = s => s == null ? NONE : s > 365 * 86400 ? `over${NBSP}a${NBSP}year` : span(s);

export function size(bytes) {
  if (bytes == null) return NONE;
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  while (bytes >= 1023.5 && unit < 4) { bytes /= 1024; unit++; }
  return `${unit && bytes < 99.95 ? bytes.toFixed(1) : Math.round(bytes)}${NBSP}${units[unit]}`;
}

export const short = n => n == null ? NONE
  : n >= 1e6 ? `${(n / 1e6).toFixed(n >= 1e7 ? 0 : 1)}M`
  : n >= 1e4 ? `${Math.round(n / 1e3)}k`
  : n >= 1e3 ? `${(n / 1e3).toFixed(1)}k` : String(Math.round(n));

/* All times are UTC. */
export const clock = at => new Date(at).toISOString().slice(11, 19);
const DAY = { day: 'numeric', month: 'short', timeZone: 'UTC' };
export const when = at => Date.now() - Date.parse(at) < 20 * 3600e3 ? clock(at) : new Date(at).toLocaleDateString('en-GB', DAY);
export const age = at => (Date.now() - Date.parse(at)) / 1e3;

/* The shape of a mark tells who acts, without its colour. Disc: fine. Half disc: copying. Arrow: replaying. Triangle:
   retried by itself. Octagon: an operator. Bars: paused. Ring: waits. */
const SHAPES = {
  ok: html`<circle cx="8" cy="8" r="7" fill="currentColor"/><path d="M4.8 8.2l2.2 2.3 4.2-4.6" fill="none" stroke="var(--surface)" stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round"/>`,
  copy: html`<circle cx="8" cy="8" r="6.2" fill="none" stroke="currentColor" stroke-width="1.6"/><path d="M8 1.8a6.2 6.2 0 0 1 0 12.4z" fill="currentColor"/>`,
  replay: html`<path d="M3 8a5 5 0 1 0 1.6-3.7" fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round"/><path d="M5.2 1.2v4h-4z" fill="currentColor"/>`,
  warn: html`<path d="M8 1.2 15.4 14.4H.6z" fill="currentColor" stroke="currentColor" stroke-width="1" stroke-linejoin="round"/><path d="M8 5.6v4M8 11.9v.3" stroke="var(--surface)" stroke-width="1.7" stroke-linecap="round"/>`,
  bad: html`<path d="M5 .8h6L15.2 5v6L11 15.2H5L.8 11V5z" fill="currentColor"/><path d="M5.4 5.4l5.2 5.2m0-5.2-5.2 5.2" stroke="var(--surface)" stroke-width="1.7" stroke-linecap="round"/>`,
  pause: html`<circle cx="8" cy="8" r="6.2" fill="none" stroke="currentColor" stroke-width="1.6"/><path d="M6.3 5.4v5.2M9.7 5.4v5.2" stroke="currentColor" stroke-width="1.7" stroke-linecap="round"/>`,
  off: html`<circle cx="8" cy="8" r="6.2" fill="none" stroke="currentColor" stroke-width="1.6" stroke-dasharray="2.6 2.3"/>`,
};
export const mark = kind => html`<svg class="g" viewBox="0 0 16 16" aria-hidden="true">${SHAPES[kind]}</svg>`;
export const SIGNS = { ok: '✓', warn: '▲', bad: '✖', off: '○', copy: '◐', replay: '↺', pause: '‖' };

/* By the daemon's word for a state: its mark, its tone, and its place in an order by urgency. */
const WORDS = {
  'Needs you': ['bad', 'bad', 0], Down: ['warn', 'bad', 1], Retrying: ['warn', 'warn', 2], Skipped: ['bad', 'bad', 2],
  Replaying: ['replay', 'busy', 3], Copying: ['copy', 'busy', 4], Paused: ['pause', 'off', 5], Waits: ['off', 'off', 6],
  Connecting: ['off', 'off', 7], 'Never run': ['off', 'off', 7], Stopped: ['off', 'off', 7], 'Not followed': ['off', 'off', 6], 'Catching up': ['ok', 'busy', 8],
  Streaming: ['ok', 'ok', 9], 'Up to date': ['ok', 'ok', 9], Live: ['ok', 'ok', 9],
};
export const tone = word => (WORDS[word] ?? WORDS.Waits)[1];
export const urgency = word => (WORDS[word] ?? WORDS.Waits)[2];
export const sign = word => html`<span class="${tone(word)}">${mark((WORDS[word] ?? WORDS.Waits)[0])}</span>`;
export const state = word => html`<span class="st ${tone(word)}">${mark((WORDS[word] ?? WORDS.Waits)[0])}${word}</span>`;
export const bar = (share, label) => html`<svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" role="progressbar" aria-label="${label}" aria-valuenow="${Math.floor(share * 100)}" aria-valuemin="0" aria-valuemax="100"><rect width="${(share * 100).toFixed(1)}" height="6"/></svg>`;
export const statement = (text, label) => html`<div class="stmt"><code>${text}</code><button type="button" class="btn" data-copy="${text}" aria-label="Copy: ${label ?? text}">Copy</button></div>`;
/* Text with `code` in it. */
export const prose = text => text.split('`').map((part, i) => i % 2 ? html`<code>${part}</code>` : part);
/* What in a remedy is worth copying: code that is not a single name, the command after "run:", a command in brackets. */
export const statements = text => [...text.split('`').filter((part, i) => i % 2 && /\s/.test(part)), ...text.match(/(?<=\brun:\s+)[^`\s][^`]*$/i) ?? [], ...text.match(/(?<=\()cdc [^`()]+(?=\))/g) ?? []];
