// Everything that people read, in English and Chinese; and numbers as they read them.

const WORDS = {
  en: {
    title: "Download centre", skip: "Skip to content", signIn: "Sign in", signOut: "Sign out", token: "Token",
    tokenHint: "The first start of the centre printed one; others come from an administrator.",
    name: "Name", password: "Password", withPassword: "Use name and password", withToken: "Use a token",
    queue: "Queue", history: "History", environments: "Environments", speed: "Speed", account: "Account",
    add: "Add", addTitle: "Add files", addPlaceholder: "Paste links, one a line, or an environment.yml …",
    addHint: "Links, environment.yml, its lock, Metalink, torrent: paste, drop anywhere, or", choose: "choose files", drop: "Drop to add",
    added: (n) => `${n} file${n === 1 ? "" : "s"} added`, refused: (n) => `${n} refused`,
    startPaused: "Start paused", search: "Search", all: "All", active: "Active", queued: "Waiting", paused: "Paused", done: "Done",
    failed: "Failed", cancelled: "Cancelled", pause: "Pause", resume: "Resume", cancel: "Cancel", retry: "Try again", forget: "Remove from the list",
    details: "Details", moveUp: "Move up", moveDown: "Move down", moveTop: "Move to the front", priority: "Priority",
    high: "High", normal: "Normal", low: "Low", of: "of", left: (t) => `${t} left`, connections: (n) => `${n} connection${n === 1 ? "" : "s"}`,
    verified: "verified", noJobs: "Nothing here yet", noJobsHint: "Paste a link above, or drop an environment.yml anywhere on this page.",
    noMatch: "Nothing matches", pauseAll: "Pause all", resumeAll: "Resume all", disk: "Store", free: (s) => `${s} free`, files: (n) => `${n} file${n === 1 ? "" : "s"}`,
    quota: "Your quota", quotaHead: "Quota", quotaOf: (a, b) => `${a} of ${b}`, now: "Now", lastMinutes: "Speed of the last five minutes", limitedTo: (s) => `limited to ${s}`, stopped: "standing still",
    source: "From", askedBy: "Asked for by", environmentsOf: "Environments", snippet: "For environment.yml", command: "To have it in an environment",
    copy: "Copy", copied: "Copied", hiddenQuery: "# the URL has a query, which is not shown here", sha256: "sha256", started: "Started", ended: "Ended",
    fetched: "Fetched", took: "Took", average: "Average", pieces: "Pieces", showMore: (n) => `Show ${n} more`, size: "Size", when: "When", who: "Who",
    limit: "Speed limit", limitHint: "Megabytes per second for everything together; empty for no limit, 0 lets nothing move.",
    windows: "Times of the day", windowsHint: "Within these another limit holds, by the server's clock; a night may be unlimited while the day is not.", from: "From", to: "to",
    addWindow: "Add a time", save: "Save", saved: "Saved", remove: "Remove", mbs: "MB/s", adminOnly: "Only administrators change this.",
    tokens: "Tokens", tokensHint: "For programs, and for clients that use this centre as a cache.", label: "Label", create: "Create", shownOnce: "Copy it now; it is not shown again",
    lastUsed: "last used", never: "never used", people: "People", role: "Role", addPerson: "Add a person", audit: "What was done", noQuota: "no quota",
    reader: "Reader", member: "Member", admin: "Administrator", used: "used", disable: "Disable", enable: "Enable", theme: "Theme", language: "中文", themes: { auto: "System", light: "Light", dark: "Dark" },
    lost: "No connection to the centre; trying again …", back: "Connected again", filesReady: (a, b) => `${a} of ${b} ready`, noEnvironments: "No environments yet",
    noEnvironmentsHint: "Drop an environment.yml with an assets: section; its files and who needs them are shown here.", justFinished: (n) => `${n} is done`, justFailed: (n) => `${n} failed`,
    quotaGb: "Quota in GB", file: "File", next: "Next:", unlimited: "no limit", quotaFull: "used up: an administrator can raise it", justFinishedMany: (n) => `${n} files are done`,
    justFailedMany: (n) => `${n} files failed`, fiveMinutes: "5 min", peak: (s) => `peak ${s}`, piecesThere: (a, b, s) => `${a} of ${b} parts complete${s ? `, ${s} each` : ""}`, edit: "Edit", newPassword: "New password", newToken: "New token", really: "Really remove?",
    action: "Action", passwordHint: "at least 10 characters", optional: "optional", sortHint: "Drag, or Alt and the arrow keys, to reorder",
  },
  zh: {
    title: "下载中心", skip: "跳到内容", signIn: "登录", signOut: "退出", token: "令牌", tokenHint: "首次启动时会显示一个令牌；其他令牌由管理员发放。",
    name: "用户名", password: "密码", withPassword: "使用用户名和密码", withToken: "使用令牌",
    queue: "队列", history: "历史", environments: "环境", speed: "速度", account: "账户",
    add: "添加", addTitle: "添加文件", addPlaceholder: "粘贴链接（每行一个），或 environment.yml …", addHint: "链接、environment.yml、锁文件、Metalink、种子：粘贴、拖放到任意处，或", choose: "选择文件", drop: "松开即可添加",
    added: (n) => `已添加 ${n} 个文件`, refused: (n) => `${n} 个被拒绝`, startPaused: "添加后暂停", search: "搜索", all: "全部", active: "进行中", queued: "等待中", paused: "已暂停", done: "已完成",
    failed: "失败", cancelled: "已取消", pause: "暂停", resume: "继续", cancel: "取消", retry: "重试", forget: "从列表移除", details: "详情", moveUp: "上移", moveDown: "下移", moveTop: "移到最前", priority: "优先级",
    high: "高", normal: "普通", low: "低", of: "/", left: (t) => `剩余 ${t}`, connections: (n) => `${n} 个连接`, verified: "已校验", noJobs: "这里还没有文件", noJobsHint: "在上方粘贴链接，或把 environment.yml 拖到本页。",
    noMatch: "没有匹配项", pauseAll: "全部暂停", resumeAll: "全部继续", disk: "存储", free: (s) => `剩余 ${s}`, files: (n) => `${n} 个文件`, quota: "我的配额", quotaHead: "配额", quotaOf: (a, b) => `${a} / ${b}`, now: "当前", lastMinutes: "最近五分钟的速度",
    limitedTo: (s) => `限速 ${s}`, stopped: "已停止", source: "来源", askedBy: "请求者", environmentsOf: "环境", snippet: "写入 environment.yml", command: "放入环境", copy: "复制", copied: "已复制", hiddenQuery: "# 链接含有查询参数，此处不显示",
    sha256: "sha256", started: "开始", ended: "结束", fetched: "已下载", took: "用时", average: "平均", pieces: "分块", showMore: (n) => `再显示 ${n} 个`, size: "大小", when: "时间", who: "用户",
    limit: "限速", limitHint: "全部下载合计每秒兆字节；留空不限速，0 表示停止。", windows: "时段", windowsHint: "在这些时段（按服务器时钟）使用另外的限速，例如夜间不限速。", from: "从", to: "到", addWindow: "添加时段", save: "保存", saved: "已保存", remove: "移除", mbs: "MB/s", adminOnly: "只有管理员可以修改。",
    tokens: "令牌", tokensHint: "供程序使用，也供把本中心当作缓存的客户端使用。", label: "名称", create: "创建", shownOnce: "请立即复制，之后不再显示", lastUsed: "最近使用", never: "从未使用", people: "人员", role: "角色", addPerson: "添加人员", audit: "操作记录", noQuota: "无配额",
    reader: "只读", member: "成员", admin: "管理员", used: "已用", disable: "停用", enable: "启用", theme: "主题", language: "English", themes: { auto: "跟随系统", light: "浅色", dark: "深色" }, lost: "与下载中心的连接已断开，正在重试…", back: "已重新连接",
    filesReady: (a, b) => `${a}/${b} 已就绪`, noEnvironments: "还没有环境", noEnvironmentsHint: "拖入带 assets: 段的 environment.yml，这里会显示其中的文件和需要它们的人。", justFinished: (n) => `${n} 已完成`, justFailed: (n) => `${n} 失败`, quotaGb: "配额（GB）", file: "文件", next: "下一步：", unlimited: "不限", quotaFull: "已用完：管理员可以提高配额", justFinishedMany: (n) => `${n} 个文件已完成`, justFailedMany: (n) => `${n} 个文件失败`, fiveMinutes: "5 分钟", peak: (s) => `峰值 ${s}`, piecesThere: (a, b, s) => `${b} 份中已完成 ${a} 份${s ? `，每份 ${s}` : ""}`,
    edit: "编辑", newPassword: "新密码", newToken: "新令牌", really: "确定删除？", action: "操作", passwordHint: "至少 10 个字符",
    code_network: "网络错误：", code_not_found: "文件不存在：", code_access_denied: "无权访问：", code_digest_mismatch: "校验不符：", code_size_mismatch: "大小不符：", code_tls: "安全连接失败：", code_redirect: "重定向被拒绝：", code_not_the_file: "不是该文件：", code_disk_full: "磁盘已满：", code_disk_refused: "无法写入磁盘：", code_no_source: "不支持的来源：", code_engine: "下载引擎出错：", code_store: "存储出错：",
    code_refused: "请求被拒绝：", code_asset_failed: "下载失败：", code_upstream_changed: "文件已在来源处改变：", code_spec_invalid: "文件有误：", code_lock_invalid: "锁文件有误：", code_http: "请求失败：", code_unreachable: "", code_crash: "中心出错：", code_remote: "远程存储出错：", optional: "可选", sortHint: "拖动，或按 Alt 加方向键来排序",
  },
};

export let language = localStorage.getItem("language") || (navigator.language.startsWith("zh") ? "zh" : "en");

/** Speak the other language from now on. */
export function switchLanguage() {
  language = language === "en" ? "zh" : "en";
  localStorage.setItem("language", language);
}

/** A word, or a sentence made with values. */
export function t(key, ...values) {
  const word = WORDS[language][key] ?? WORDS.en[key] ?? (key.startsWith("code_") ? values[0] : key);
  return typeof word === "function" ? word(...values) : word;
}

/** Bytes, in powers of 1000 as browsers show them. */
export function size(bytes) {
  if (bytes === null || bytes === undefined) return "–";
  let value = bytes;
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (value < 999.5) return `${unit === "B" ? value : value.toFixed(value < 10 ? 1 : 0)} ${unit}`;
    value /= 1000;
  }
  return `${value.toFixed(1)} TB`;
}

export const rate = (bytes) => `${size(Math.round(bytes))}/s`;

/** Seconds, in the two largest units. */
export function span(seconds) {
  const [day, hour, minute, second] = language === "zh" ? [" 天", " 小时", " 分", " 秒"] : [" d", " h", " min", " s"];
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return seconds > 0 && s === 0 ? `<1${second}` : `${s}${second}`;
  if (s < 3600) return `${Math.floor(s / 60)}${minute} ${s % 60 ? `${s % 60}${second}` : ""}`.trim();
  if (s < 86400) return `${Math.floor(s / 3600)}${hour} ${Math.floor((s % 3600) / 60)}${minute}`;
  return `${Math.floor(s / 86400)}${day} ${Math.floor((s % 86400) / 3600)}${hour}`;
}

export const moment = (seconds) =>
  seconds ? new Date(seconds * 1000).toLocaleString(language === "zh" ? "zh-CN" : "en-GB", { dateStyle: "medium", timeStyle: "short" }) : "";
