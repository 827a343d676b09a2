// The page of convgrad's server: draws, asks /predict, and shows classes and maps.
'use strict'
const $ = id => document.getElementById(id)
const main = document.querySelector('main'), root = document.documentElement
const C = +main.dataset.channels, H = +main.dataset.height, W = +main.dataset.width, K = +main.dataset.classes
const draws = 'draw' in main.dataset
const canvas = $('canvas'), ink = canvas.getContext('2d', { willReadFrequently: true }), SIDE = canvas.width
const PEN = SIDE / 12
let picture = null // a Blob in the place of what is drawn
let asked = 0, busy = false

// Drawing.
function stroke(x0, y0, x1, y1) {
  if (picture) clear()
  ink.strokeStyle = '#fff'
  ink.lineWidth = PEN
  ink.lineCap = ink.lineJoin = 'round'
  ink.beginPath()
  ink.moveTo(x0, y0)
  ink.lineTo(x1 + 0.01, y1)
  ink.stroke()
  $('hint').hidden = true
  ask()
}

function clear() {
  picture = null
  ink.fillStyle = '#000'
  ink.fillRect(0, 0, SIDE, SIDE)
  $('hint').hidden = false
  say('')
  ask()
}

// sample is what was drawn, brought to the network's input as its digits are: the longest side of
// what has ink is 5/7 of the sample's, around its middle.
function sample() {
  const d = ink.getImageData(0, 0, SIDE, SIDE).data
  let x0 = SIDE, y0 = SIDE, x1 = -1, y1 = -1
  for (let y = 0; y < SIDE; y++) {
    for (let x = 0; x < SIDE; x++) {
      if (d[4 * (y * SIDE + x)] > 40) { x0 = Math.min(x0, x); x1 = Math.max(x1, x); y0 = Math.min(y0, y); y1 = Math.max(y1, y) }
    }
  }
  if (x1 < 0) return null
  const w = x1 - x0 + 1, h = y1 - y0 + 1, scale = Math.min(H, W) * 5 / 7 / Math.max(w, h, SIDE / 5)
  const small = document.createElement('canvas')
  small.width = W
  small.height = H
  const to = small.getContext('2d')
  to.fillRect(0, 0, W, H)
  to.imageSmoothingQuality = 'high'
  to.drawImage(canvas, x0, y0, w, h, (W - w * scale) / 2, (H - h * scale) / 2, w * scale, h * scale)
  const p = to.getImageData(0, 0, W, H).data
  return Array.from({ length: H * W }, (_, i) => p[4 * i])
}

if (draws) {
  let last = null
  const at = e => { const b = canvas.getBoundingClientRect(); return [(e.clientX - b.left) * SIDE / b.width, (e.clientY - b.top) * SIDE / b.height] }
  canvas.addEventListener('pointerdown', e => {
    if (e.button) return
    canvas.setPointerCapture(e.pointerId)
    $('pen').hidden = true
    last = at(e)
    stroke(...last, ...last)
  })
  canvas.addEventListener('pointermove', e => {
    if (!last) return
    for (const m of e.getCoalescedEvents?.().length ? e.getCoalescedEvents() : [e]) {
      const now = at(m)
      stroke(...last, ...now)
      last = now
    }
  })
  for (const end of ['pointerup', 'pointercancel']) canvas.addEventListener(end, () => { last = null })

  let x = SIDE / 2, y = SIDE / 4, down = false
  const pen = () => {
    const p = $('pen')
    p.hidden = false
    p.classList.toggle('down', down)
    p.style.left = 100 * x / SIDE + '%'
    p.style.top = 100 * y / SIDE + '%'
  }
  canvas.addEventListener('keydown', e => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[e.key]
    if (step) {
      const before = [x, y]
      x = Math.min(SIDE - 10, Math.max(10, x + step[0] * SIDE / 28))
      y = Math.min(SIDE - 10, Math.max(10, y + step[1] * SIDE / 28))
      if (down) stroke(...before, x, y)
    } else if (e.key === ' ' || e.key === 'Enter') {
      down = !down
      if (down) stroke(x, y, x, y)
      say(down ? 'pen down' : 'pen up')
    } else if (['Backspace', 'Delete', 'Escape'].includes(e.key)) {
      down = false
      clear()
      say('cleared')
    } else return
    e.preventDefault()
    pen()
  })
  canvas.addEventListener('blur', () => { down = false; $('pen').hidden = true })
  $('clear').addEventListener('click', clear)
  $('invert').addEventListener('change', () => { if (picture) ask() })
}

// Pictures.
async function take(file) {
  if (!file) return
  if (file.size > +main.dataset.max) return problem('the picture has more than ' + Math.floor(main.dataset.max / 1e6) + ' MB')
  clear()
  picture = file
  $('hint').hidden = true
  ask()
  try { // as the network sees it: scaled so that it covers the input, lies inside it, or is it
    const b = await createImageBitmap(file)
    if (picture !== file) return
    const fit = main.dataset.fit, k = (fit === 'pad' ? Math.min : Math.max)(W / b.width, H / b.height)
    const kx = fit === 'resize' ? W / b.width : k, ky = fit === 'resize' ? H / b.height : k
    const unit = SIDE / Math.max(W, H), w = Math.min(b.width, W / kx), h = Math.min(b.height, H / ky)
    const dw = w * kx * unit, dh = h * ky * unit
    ink.drawImage(b, (b.width - w) / 2, (b.height - h) / 2, w, h, (SIDE - dw) / 2, (SIDE - dh) / 2, dw, dh)
  } catch { /* the server says what is wrong with it */ }
}
$('file').addEventListener('change', e => { take(e.target.files[0]); e.target.value = '' })
addEventListener('paste', e => take([...e.clipboardData.files].find(f => f.type.startsWith('image/'))))
for (const kind of ['dragover', 'dragleave', 'drop']) {
  addEventListener(kind, e => {
    e.preventDefault()
    $('pad').classList.toggle('over', kind === 'dragover')
    if (kind === 'drop') take(e.dataTransfer.files[0])
  })
}

// Asking: one request at a time, and after it one more with what is there then.
function ask() {
  asked++
  delete root.dataset.idle
  if (!busy) send()
}

async function send() {
  const now = asked
  const pixels = picture || !draws ? null : sample()
  if (!picture && !pixels) {
    show(null)
    root.dataset.idle = now
    return
  }
  busy = true
  try {
    const dark = picture && draws && $('invert').checked
    const r = await fetch('predict?features=1' + (dark ? '&invert=1' : ''), picture
      ? { method: 'POST', body: picture, headers: { 'Content-Type': picture.type || 'application/octet-stream' } }
      : { method: 'POST', body: JSON.stringify({ pixels }), headers: { 'Content-Type': 'application/json' } })
    const a = await r.json()
    if (!r.ok) throw new Error(a.error)
    problem('')
    if (now === asked || !picture) show(a.results[0])
  } catch (e) {
    show(null)
    problem(e instanceof TypeError ? 'the server does not answer' : e.message)
  }
  busy = false
  if (asked !== now) send()
  else root.dataset.idle = now
}

// Showing.
let names = null, talk = 0
function percent(p) { return (100 * p).toFixed(p > 0.9995 || p < 0.0005 ? 2 : 1) + ' %' }

function problem(text) { $('problem').textContent = text }

function say(text) {
  clearTimeout(talk)
  talk = setTimeout(() => { $('live').textContent = text }, 500)
}

function show(r) {
  root.dataset.class = r ? r.predictions[0].class : ''
  $('answer').textContent = r ? `${r.predictions[0].class}, ${percent(r.predictions[0].probability)}` : '–'
  $('inside').hidden = !r
  if (r) say($('answer').textContent)
  const list = $('classes')
  if (!r) {
    for (const li of list.children) fill(li, li.firstChild.textContent, 0, false)
    return
  }
  const most = K > 12 ? 10 : K
  let shown = r.predictions.slice(0, most)
  if (K <= 12) { // few classes keep their places
    names ??= r.predictions.map(p => p.class).sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
    shown = names.map(n => r.predictions.find(p => p.class === n))
  }
  while (list.children.length < shown.length) {
    const li = document.createElement('li')
    li.innerHTML = '<span class="name"></span><span class="bar"><i></i></span><span class="share"></span>'
    list.append(li)
  }
  list.toggleAttribute('data-short', shown.every(p => p.class.length <= 2))
  shown.forEach((p, i) => fill(list.children[i], p.class, p.probability, p === r.predictions[0]))
  const figures = [{ caption: 'gradient', src: r.gradient, kind: 'gradient' },
    ...r.layers.map(l => ({ caption: `${l.name}, ${l.kind}: ${l.shape.join('×')}`, src: l.maps, kind: '' }))]
  const maps = $('maps')
  while (maps.children.length < figures.length) {
    const f = document.createElement('figure')
    f.append(document.createElement('img'), document.createElement('figcaption'))
    maps.append(f)
  }
  figures.forEach((f, i) => {
    const [img, caption] = maps.children[i].children
    maps.children[i].className = f.kind
    img.src = f.src
    img.alt = f.kind ? 'where the answer depends on the picture' : 'maps of ' + f.caption
    caption.textContent = f.caption
  })
}

function fill(li, name, p, best) {
  const [label, bar, share] = li.children
  li.classList.toggle('best', best)
  label.textContent = label.title = name
  bar.firstChild.style.width = 100 * p + '%'
  share.textContent = percent(p)
}

ink.fillStyle = '#000'
ink.fillRect(0, 0, SIDE, SIDE)
root.dataset.ready = '1'
