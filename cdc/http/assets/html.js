/* Markup from templates. Whatever is put into one is escaped, unless it is markup itself. */

class Markup {
  constructor(text) { this.text = text; }
}

const ESCAPES = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
const shown = value => value instanceof Markup ? value.text
  : Array.isArray(value) ? value.map(shown).join('')
  : value == null || value === false ? ''
  : String(value).replace(/[&<>"']/g, one => ESCAPES[one]);

export const html = (parts, ...values) =>
  new Markup(parts.map((part, i) => part + (i < values.length ? shown(values[i]) : '')).join(''));

export const $ = selector => document.querySelector(selector);

/* Makes an element's content equal to this markup and changes nothing that is equal already: focus, selection and what a
   screen reader is at stay. Children with a data-key are moved, not rewritten. */
export function paint(element, markup) {
  const wanted = document.createElement('template');
  // Parsed as children of the same kind: parts of SVG are SVG.
  const isSvg = element instanceof SVGElement;
  wanted.innerHTML = isSvg ? `<svg>${shown(markup)}</svg>` : shown(markup);
  children(element, isSvg ? wanted.content.firstChild : wanted.content);
}

function children(now, wanted) {
  const keyed = new Map([...now.childNodes].filter(one => one.dataset?.key).map(one => [one.dataset.key, one]));
  let place = now.firstChild;
  for (const next of [...wanted.childNodes]) {
    const key = next.dataset?.key;
    let old = key ? keyed.get(key) : place;
    if (old && (old.nodeName !== next.nodeName || old.dataset?.key !== key)) old = null;
    if (!old) {
      now.insertBefore(next, place);
      continue;
    }
    if (old === place) place = place.nextSibling;
    else now.insertBefore(old, place);
    same(old, next);
  }
  while (place) {
    const after = place.nextSibling;
    place.remove();
    place = after;
  }
}

function same(old, next) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== next.nodeValue) old.nodeValue = next.nodeValue;
    return;
  }
  for (const { name } of [...old.attributes]) if (!next.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of next.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  // What a chart or a scrolled list draws into is its own.
  if (!old.hasAttribute('data-own')) children(old, next);
}
