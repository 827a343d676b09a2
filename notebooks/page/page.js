// The page's script. It knows no mathematics: it hands each click to the Go engine and puts the
// HTML that comes back into the scene.
'use strict';
(() => {
  const stages = document.querySelectorAll('[data-scene]');
  const live = document.getElementById('live');
  let address = location.hash.slice(1), waiting = [], ready = false;

  // update gives an element the attributes and children of another. It touches only what differs,
  // so that the browser lays out only that.
  const update = (to, from) => {
    if (to.isEqualNode(from)) return;
    if (to.nodeType === Node.TEXT_NODE) { to.data = from.data; return; }
    for (const { name, value } of from.attributes) if (to.getAttribute(name) !== value) to.setAttribute(name, value);
    for (const { name } of [...to.attributes]) if (!from.hasAttribute(name)) to.removeAttribute(name);
    const old = [...to.childNodes], fresh = [...from.childNodes];
    fresh.forEach((node, k) => {
      const was = old[k];
      if (!was) to.append(node);
      else if (was.nodeName === node.nodeName && was.dataset?.id === node.dataset?.id) update(was, node);
      else was.replaceWith(node);
    });
    old.slice(fresh.length).forEach((node) => node.remove());
  };

  const draw = (id, changes) => {
    const stage = document.querySelector(`[data-scene="${id}"]`);
    const [next, body, say] = window.convgrad(address, id, changes);
    const fresh = stage.cloneNode();
    fresh.innerHTML = body;
    update(stage, fresh);
    return [next, say];
  };

  const act = (el) => {
    const id = el.closest('[data-scene]').dataset.scene;
    if (!ready) { waiting.push(el); return; }
    // A button that goes away with its click leaves the focus to the one that takes its place.
    const [next, say] = draw(id, el.dataset.set);
    if (document.activeElement === document.body) {
      document.querySelector(`[data-scene="${id}"] .ask button`)?.focus({ preventScroll: true });
    }
    address = next;
    history.replaceState(null, '', '#' + address);
    live.textContent = say;
  };

  const cell = (grid, i, j) => grid.querySelector(`[data-id="${grid.dataset.grid}-${i}-${j}"]`);

  document.addEventListener('click', (e) => {
    const el = e.target.closest('[data-set]');
    if (el) act(el);
  });
  document.addEventListener('keydown', (e) => {
    const el = e.target.closest('td[data-set]');
    if (!el || e.ctrlKey || e.altKey || e.metaKey) return;
    if (e.key === 'Enter' || e.key === ' ') { e.preventDefault(); act(el); return; }
    const grid = el.closest('[data-grid]');
    let [i, j] = el.dataset.id.split('-').slice(-2).map(Number);
    const rows = grid.rows.length, cols = grid.rows[0].cells.length;
    switch (e.key) {
      case 'ArrowUp': i--; break;
      case 'ArrowDown': i++; break;
      case 'ArrowLeft': j--; break;
      case 'ArrowRight': j++; break;
      case 'Home': j = 0; break;
      case 'End': j = cols - 1; break;
      default: return;
    }
    e.preventDefault();
    if (i < 0 || j < 0 || i >= rows || j >= cols) return;
    const to = cell(grid, i, j);
    el.tabIndex = -1;
    to.tabIndex = 0;
    to.focus();
    if ('follow' in grid.dataset) act(to);
  });

  const all = () => stages.forEach((s) => draw(s.dataset.scene, ''));
  window.addEventListener('hashchange', () => {
    const to = decodeURIComponent(location.hash.slice(1));
    if (!ready || to.startsWith('scene-')) return;
    address = to;
    all();
    goto();
  });
  const goto = () => {
    const last = address.split('/').pop().split('?')[0];
    if (last) document.getElementById('scene-' + last)?.scrollIntoView();
  };

  window.convgradReady = () => {
    ready = true;
    address = decodeURIComponent(address);
    if (address.startsWith('scene-')) address = '';
    if (address) { all(); goto(); }
    document.documentElement.dataset.ready = String(Math.round(performance.now()));
    waiting.forEach(act);
  };

  const start = async () => {
    const go = new Go();
    const packed = await fetch('page.wasm.gz');
    if (!packed.ok) throw new Error('page.wasm.gz: ' + packed.status);
    const bytes = await new Response(packed.body.pipeThrough(new DecompressionStream('gzip'))).arrayBuffer();
    const { instance } = await WebAssembly.instantiate(bytes, go.importObject);
    go.run(instance);
  };
  start().catch((err) => {
    document.getElementById('failed').textContent =
      'The page cannot compute here (' + err.message + '). It shows its first states only. It needs a web server and a browser of 2023 or later.';
  });
})();
