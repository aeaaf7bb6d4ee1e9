// Values and their states, as the views need them.

import { byName } from './text.js';

/** Groups of states: each has a colour, a shape and a word. The worst comes first. */
export const GROUPS = {
  bad: 'failed',
  retry: 'retrying',
  wait: 'waiting',
  gone: 'not there',
  good: 'in place',
};

const STATES = {
  CONFIGURED: ['good', 'in place'],
  OBTAINED: ['good', 'there without our doing'],
  DISCOVERED: ['good', 'found there'],
  PENDING: ['wait', 'waiting'],
  RETRYING: ['retry', 'retrying'],
  FAILED: ['bad', 'failed'],
  INVALID: ['bad', 'invalid'],
  MISSING: ['gone', 'missing'],
  UNIMPLEMENTED: ['gone', 'not implemented'],
  REMOVED: ['gone', 'removed'],
  NONEXISTENT: ['gone', 'not there'],
};

export const groupOf = (state) => STATES[state]?.[0] ?? 'gone';
export const wordOf = (state) => STATES[state]?.[1] ?? state;
const RANK = Object.fromEntries(Object.keys(GROUPS).map((group, rank) => [group, rank]));
export const rankOf = (group) => RANK[group];
export const worst = (groups) => groups.reduce((a, b) => (RANK[b] < RANK[a] ? b : a), 'good');

/** All that is known of the agent. */
export class Store {
  agent = {};
  values = new Map();
  transactions = [];
  /** Derived values by the key of what they are derived from. */
  parts = new Map();
  /** Values by the key of what they need. */
  users = new Map();

  take(part, isWhole) {
    if (part.agent) this.agent = part.agent;
    if (isWhole) this.values = new Map();
    for (const value of part.values ?? []) this.values.set(value.key, prepared(value));
    for (const key of part.gone ?? []) this.values.delete(key);
    if (isWhole) this.transactions = [];
    if (part.transactions) this.transactions = [...this.transactions, ...part.transactions].slice(-200);
    if (isWhole || part.values || part.gone) this.relate();
  }

  relate() {
    this.parts = new Map();
    this.users = new Map();
    for (const value of this.values.values()) {
      if (value.base) add(this.parts, value.base, value);
      for (const key of value.needs ?? []) add(this.users, key, value);
    }
  }

  partsOf(key) {
    return this.parts.get(key) ?? [];
  }

  usersOf(key) {
    return this.users.get(key) ?? [];
  }

  /** The worst group of a value and of what is derived from it. */
  groupWithParts(value) {
    return worst([value.group, ...this.partsOf(value.key).map((part) => part.group)]);
  }

  counts() {
    const counts = Object.fromEntries(Object.keys(GROUPS).map((group) => [group, 0]));
    for (const value of this.values.values()) counts[value.group] += 1;
    return counts;
  }

  kinds() {
    return [...new Set([...this.values.values()].map((value) => value.kind))].sort(byName);
  }
}

function add(map, key, value) {
  const list = map.get(key);
  if (list) list.push(value);
  else map.set(key, [value]);
}

function prepared(value) {
  value.group = groupOf(value.state);
  value.word = wordOf(value.state);
  // What is invalid, or what it waits for.
  value.why = [value.error, ...(value.details ?? [])].filter(Boolean).join('; ');
  value.search = [value.key, value.summary, value.kind, value.state, value.word, value.source, value.why]
    .concat(value.others, value.net?.addresses, value.net?.space?.[1], value.net?.host, value.net?.device?.mac)
    .filter(Boolean).join('\n').toLowerCase();
  return value;
}

/** What the user wants to see. */
export class Filter {
  text = '';
  groups = new Set();
  kind = '';
  parts = false;

  get isEmpty() {
    return !this.text && this.groups.size === 0;
  }

  words() {
    return this.text.toLowerCase().split(/\s+/).filter(Boolean);
  }

  test(value, words = this.words()) {
    if (this.groups.size > 0 && !this.groups.has(value.group)) return false;
    return words.every((word) => value.search.includes(word));
  }
}
