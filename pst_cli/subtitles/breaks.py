"""The small words of each language, sorted by what they do to a line that breaks beside them.

After Netflix's timed text guides (partnerhelp 215758617): a line ends after punctuation or before
a conjunction or a preposition, and never between an article and its noun, a pronoun or an auxiliary
and its verb, a first and a last name. A word may stand in several lists; the strictest one wins.
"""

from __future__ import annotations

from dataclasses import dataclass


def _set(*words: str) -> frozenset[str]:
    return frozenset(" ".join(words).split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """Small words, all in lower case; an elided one ends with its apostrophe ("qu'")."""

    joints: frozenset[str] = frozenset()  # conjunctions, relative words: good to begin a line with
    prepositions: frozenset[str] = frozenset()  # nearly as good; never at the end of a line
    determiners: frozenset[str] = frozenset()  # never at the end: a noun follows, or what is graded
    leaning: frozenset[str] = frozenset()  # nor these: a verb follows, or what is negated
    loose: frozenset[str] = frozenset()  # better not at the end of a line
    trailing: frozenset[str] = frozenset()  # never at the beginning of a line
    titles: frozenset[str] = frozenset()  # a name follows
    short: frozenset[str] = frozenset()  # what is written with a dot that ends no sentence
    endings: tuple[str, ...] = ()  # a word that ends so is leaning
    elides: bool = False  # whether an apostrophe stands between two words
    nouns_are_large: bool = False  # whether two large initials in a row are no name


ENGLISH = Grammar(
    joints=_set(
        "and but or nor so yet because although though unless until while whereas whether if when",
        "whenever where wherever who whom whose which that what why how than",
    ),
    prepositions=_set(
        "to in on at by for from with without into onto over under above below between among",
        "through during before after since about against across along around behind beside",
        "besides beyond despite except inside near outside past toward towards upon within as",
        "like per via throughout",
    ),
    determiners=_set(
        "a an the my your his its our their this these those some any no every each either",
        "neither another many much few several both all such other of very too quite rather more",
        "most less least",
    ),
    leaning=_set(
        "i he she we they not never can cannot could will would shall should may might must let's",
        "who's",
    ),
    loose=_set(
        "you it her that is are was were am be been being has have had having do does did there",
        "only just also even still then let one two three four five six seven eight nine ten",
        "twenty thirty forty fifty hundred thousand million billion half first second last next",
        "same own get got going used able not always really already almost nearly",
    ),
    trailing=_set(
        "ago o'clock percent p.m. a.m. pm am else too enough me him us them up down away back out",
        "off",
    ),
    titles=_set(
        "mr mrs ms miss dr prof professor president king queen saint st sir lord lady uncle aunt",
        "captain general judge senator doctor minister mount",
    ),
    short=_set("mr mrs ms dr prof st mt vs e.g i.e jr sr approx fig"),
    endings=("n't", "'m", "'re", "'ve", "'ll", "'d", "'s"),
)

GERMAN = Grammar(
    joints=_set(
        "und oder aber sondern denn weil dass daß ob wenn als wie während obwohl damit bevor",
        "nachdem sobald solange falls indem sodass wo wer wen wem was warum wieso wann wohin",
        "woher deren dessen denen welche welcher welches welchen welchem sowie doch außerdem",
        "deshalb trotzdem weder noch bis",
    ),
    prepositions=_set(
        "in im ins an am ans auf aufs aus bei beim mit nach von vom vor zu zum zur über unter um",
        "ums für fürs durch durchs gegen ohne seit zwischen neben hinter wegen trotz statt",
        "anstatt innerhalb außerhalb gegenüber entlang laut per pro ab gemäß anhand mithilfe",
    ),
    determiners=_set(
        "der die das den dem des ein eine einen einem einer eines kein keine keinen keinem keiner",
        "keines mein meine meinen meinem meiner meines dein deine deinen deinem deiner sein seine",
        "seinen seinem seiner seines ihr ihre ihren ihrem ihrer ihres unser unsere unseren",
        "unserem unserer euer eure dieser diese dieses diesen diesem jener jene jenes jenen jeder",
        "jede jedes jeden jedem alle allen aller viele vielen einige einigen manche mehrere beide",
        "beiden im am zum zur beim vom ins ans sehr so ganz ziemlich zu",
    ),
    leaning=_set("ich du er wir man nicht zwar"),
    loose=_set(
        "es sie ihr sich uns euch ihnen bin bist ist sind seid war waren wäre habe hast hat haben",
        "hatte hatten hätte werde wirst wird werden wurde wurden würde kann können konnte muss",
        "müssen musste soll sollen sollte will wollen wollte darf dürfen mag möchte nie auch",
        "schon mehr immer wieder etwas zwei drei vier fünf sechs sieben acht neun zehn zwanzig",
        "hundert tausend erste ersten zweite zweiten letzte letzten nächsten etwa rund fast nur",
        "noch hattest warst hättest könnten könntest sollten müsste dürfte werdet habt",
    ),
    trailing=_set("uhr prozent mich dich mir dir ihn ihm"),
    titles=_set("herr herrn frau dr prof professor präsident könig königin kaiser st sankt hr fr"),
    short=_set("dr prof st hr fr bzw z.b d.h u.a ca vgl nr evtl ggf inkl"),
    nouns_are_large=True,
)

FRENCH = Grammar(
    joints=_set(
        "et ou mais donc or ni car que qu' qui dont où quand lorsque lorsqu' puisque puisqu'",
        "parce comme si s' afin tandis pendant pourquoi comment lequel laquelle lesquels",
        "lesquelles quoi quoique ainsi cependant pourtant",
    ),
    prepositions=_set(
        "à au aux en dans par pour sur sous avec sans vers chez entre contre depuis jusque jusqu'",
        "jusqu'à avant après devant derrière malgré parmi selon dès hors envers outre",
    ),
    determiners=_set(
        "le la les l' un une des du au aux ce cet cette ces mon ma mes ton ta tes son sa ses",
        "notre nos votre vos leur leurs quel quelle quels quelles chaque plusieurs quelques tout",
        "toute tous toutes certains certaines aucun aucune de d' très trop si bien plus moins",
        "aussi",
    ),
    leaning=_set("je j' tu il elle on ils elles c' ça ne n' me m' te t' se s' y"),
    loose=_set(
        "nous vous lui leur en l' suis es est sommes êtes sont étais était étaient sera seront",
        "serait été être ai as a avons avez ont avais avait avaient aura aurait eu avoir vais va",
        "allons allez vont peux peut pouvons peuvent pouvait doit dois doivent devait fait font",
        "veux veut voulait faut deux trois quatre cinq six sept huit neuf dix vingt trente",
        "quarante cinquante cent mille première premier dernier dernière même mêmes toujours",
        "encore jamais petit petite grand grande bon bonne beau belle nouveau nouvelle jeune",
        "vieux vieille environ presque avions aviez étions étiez serais serez serons aurais",
        "auraient seraient aurez pouvais pouviez",
    ),
    trailing=_set("pas ci là"),
    titles=_set(
        "m mm mme mmes mlle monsieur madame mademoiselle dr docteur professeur président roi",
        "reine saint sainte st ste maître",
    ),
    short=_set("m mm mme mmes mlle dr st ste cf ex av"),
    elides=True,
)

SPANISH = Grammar(
    joints=_set(
        "y e o u pero sino ni porque que quien quienes cual cuales cuyo cuya cuando donde como si",
        "aunque mientras pues cuándo dónde cómo qué quién cuánto",
    ),
    prepositions=_set(
        "a al ante bajo con contra desde durante en entre hacia hasta mediante para por según sin",
        "sobre tras excepto salvo",
    ),
    determiners=_set(
        "el la los las lo un una unos unas al del mi mis tu tus su sus nuestro nuestra nuestros",
        "nuestras vuestro vuestra este esta estos estas ese esa esos esas aquel aquella aquellos",
        "aquellas cada todo toda todos todas algún alguna algunos algunas ningún ninguna varios",
        "varias otro otra otros otras mucho mucha muchos muchas de muy tan más menos",
    ),
    leaning=_set("yo tú no se me te nos os le les nunca también tampoco ya"),
    loose=_set(
        "él ella ellos ellas usted ustedes nosotros nosotras eso esto es son era eran fue fueron",
        "ser sido está están estaba estaban estar estoy he has ha hemos han había habían haber",
        "hay puede pueden podía puedo debe deben va van voy vamos iba tiene tienen que dos tres",
        "cuatro cinco seis siete ocho nueve diez veinte treinta cien mil primer primera último",
        "última gran buen buena mismo misma siempre casi sólo solo habías habíamos estabas eras",
        "éramos sería serían será habría habrá podría debería tantos tantas",
    ),
    titles=_set(
        "sr sra srta señor señora señorita don doña dr dra doctor doctora profesor presidente rey",
        "reina san santa santo",
    ),
    short=_set("sr sra srta dr dra ud uds ej pág ee"),
)

ITALIAN = Grammar(
    joints=_set(
        "e ed o od ma però perché che ch' chi cui quando dove dov' come com' se mentre poiché",
        "quindi dunque oppure né affinché sebbene benché anche finché quale quali siccome",
    ),
    prepositions=_set(
        "a ad da in con su per tra fra al allo alla all' ai agli alle dal dallo dalla dall' dai",
        "dagli dalle nel nello nella nell' nei negli nelle sul sullo sulla sull' sui sugli sulle",
        "col verso senza sotto sopra dopo prima contro durante presso attraverso secondo",
    ),
    determiners=_set(
        "il lo la i gli le l' un uno una un' questo questa questi queste quest' quello quella",
        "quelli quelle quel quei quegli quell' mio mia miei mie tuo tua tuoi tue suo sua suoi sue",
        "nostro nostra nostri nostre vostro vostra loro ogni qualche alcuni alcune tutto tutta",
        "tutti tutte molto molta molti molte altro altra altri altre del della dei degli delle al",
        "alla ai agli alle dal dalla dai dagli dalle nel nella nei negli nelle sul sulla sui",
        "sugli sulle di d' dello dell' più meno tanto così troppo",
    ),
    leaning=_set("io tu egli non mi ti si ci vi ne c' m' t' s' v' n'"),
    loose=_set(
        "lui lei noi voi loro essi è sono sei siamo siete era erano fu essere stato stata ho hai",
        "ha abbiamo avete hanno aveva avevano avere può possono poteva posso deve devono doveva",
        "vuole sta stanno stava fa due tre quattro cinque sette otto nove dieci venti trenta",
        "cento mille primo prima ultimo ultima grande bel bella buon buona stesso stessa sempre",
        "già ancora mai anche solo c'è c'era circa quasi avevi avevamo avevate eri eravamo sarà",
        "saranno sarebbe avrà avrebbe potrebbe vuoi voglio stai sto tanti tante",
    ),
    titles=_set(
        "sig sig.ra signor signora signorina dott dottor dottore prof professor don presidente re",
        "regina san santa santo avv ing",
    ),
    short=_set("sig sig.ra dott prof avv ing es pag"),
    elides=True,
)

CHINESE = Grammar(
    joints=_set(
        "因为 所以 但是 但 可是 而且 如果 虽然 那么 然后 或者 以及 并且 并 不过 还是 而 当 只要",
        "只有 即使 尽管 因此 于是 不仅 无论 除非 同时 甚至 也 就 才 却 却是 要是 否则",
    ),
    prepositions=_set(
        "在 从 对 向 为 为了 跟 和 与 把 被 给 由 用 以 往 按照 关于 对于 根据 通过 随着 自 比 于",
        "将 让 使 及",
    ),
    determiners=_set(
        "这 那 这个 那个 这些 那些 这种 那种 这样 那样 每 每个 各 某 一 一个 一些 一种 几 几个 两",
        "两个 三 四 五 六 七 八 九 十 百 千 万 亿 第 该 本 任何 所有 许多 哪 哪个 什么 很 太 最",
        "更 非常 十分 位 块 条 棵 辆 张 件 名 次 只 座 多个 大约 约",
    ),
    leaning=_set(
        "不 没 没有 别 会 能 能够 可以 要 想 应该 必须 可能 正在 已经 将要 曾经 都 还 又 再 不会",
        "不能 不是 不要 是",
    ),
    loose=_set("我 你 您 他 她 它 我们 你们 他们 她们 它们 咱们 自己 的 地 得 说 有 去 来 着 所"),
    trailing=_set(
        "的 了 着 过 地 得 吗 呢 吧 啊 呀 嘛 啦 们 等 里 里面 上 上面 中 下 内 外 前 后 之间 之后",
        "之前 以后 以前 以上 以下 时 时候 的话 之中 当中 而已 来说 起来 下来 出来 下去 左右 个 年",
        "月 日 岁",
    ),
    titles=_set("先生 女士"),
)

GRAMMARS = {
    "en": ENGLISH,
    "de": GERMAN,
    "fr": FRENCH,
    "es": SPANISH,
    "it": ITALIAN,
    "zh": CHINESE,
}
